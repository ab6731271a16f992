import pytest

from fcn_tf.config.mask_values import CITYSCAPES, MaskValues
from fcn_tf.images.mask_proposals import as_option, proposed_mask_values

TWO, THREE = ("background", "vessel"), ("a", "b", "c")
CITY = tuple(CITYSCAPES.values())
IN_ORDER = "  # a guess: the values in ascending order"
CASES = {
    "binary": ({0: 9, 255: 1}, TWO, "{0: background, 255: vessel}"),
    "numbers of classes": ({0: 9, 1: 1}, TWO, None),
    "numbers of classes and what is not labelled": ({0: 9, 2: 1, 255: 3}, THREE, None),
    "from 1 on": ({1: 1, 2: 1, 3: 1, 255: 5}, THREE, "{1: a, 2: b, 3: c}"),
    "from 1 on, a class absent": ({1: 1, 3: 1}, THREE, "{1: a, 2: b, 3: c}"),
    "0 beside as many as classes": (
        {0: 9, 1: 1, 3: 1},
        THREE,
        "{0: ignore, 1: a, 2: b, 3: c}  # a guess: 0 is not labelled",
    ),
    "sparse": ({7: 1, 26: 1, 33: 1}, THREE, "{7: a, 26: b, 33: c}" + IN_ORDER),
    "sparse and 255": ({0: 9, 128: 1, 255: 1}, THREE, "{0: a, 128: b, 255: c}" + IN_ORDER),
    "sparse beside 255": ({7: 1, 9: 1, 11: 1, 255: 1}, THREE, "{7: a, 9: b, 11: c}" + IN_ORDER),
    "Cityscapes' ids": ({7: 1, 26: 1, 33: 1, 0: 2}, CITY, "cityscapes"),
    "Cityscapes' train ids": ({0: 1, 18: 1, 255: 1}, CITY, None),
    "colours": (
        {0: 9, (250, 50, 83): 1},
        TWO,
        '{"0,0,0": background, "250,50,83": vessel}  # a guess: the colours of most pixels first',
    ),
    "too many colours": ({0: 9, (250, 50, 83): 1, (1, 2, 3): 1}, TWO, None),
    "too many values": ({0: 9, 7: 1, 9: 1}, TWO, None),
    "nothing": ({}, TWO, None),
    "no classes": ({0: 1, 255: 1}, (), None),
}


@pytest.mark.parametrize("case", CASES)
def test_what_values_suggest(case):
    seen, names, expected = CASES[case]
    proposed = proposed_mask_values(seen, names)
    assert proposed == expected
    if proposed:  # it can be pasted
        assert set(MaskValues.of(proposed).class_names) <= set(names)


def test_a_guess_stands_behind_the_option():
    assert as_option("cityscapes") == "--data.mask_values cityscapes"
    option = as_option("{0: ignore, 1: wall}  # a guess: 0 is not labelled")
    assert option == "--data.mask_values '{0: ignore, 1: wall}' (a guess: 0 is not labelled)"
