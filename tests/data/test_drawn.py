"""What outlines in JSON mean, whichever tool drew them."""

import pytest

from fcn_tf.classes import VOID
from fcn_tf.data.drawn import Meaning, class_names_of


@pytest.mark.parametrize(
    ("class_names", "undrawn"),
    [
        (("road", "background"), 1),
        (("Background", "road"), 0),
        (("road", "car", "BG"), 2),
        (("_background_", "road"), 0),
        (("road", "car"), VOID),
    ],
)
def test_what_no_outline_holds_is_background_where_that_is_a_class(class_names, undrawn):
    assert Meaning.of(class_names).undrawn == undrawn


def test_a_background_among_the_outlines_is_the_first_class():
    assert class_names_of(["road", "Background", "__ignore__", "road"]) == ("Background", "road")
    assert class_names_of(["road"]) == ("background", "road")
