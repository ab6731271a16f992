"""Which settings go with which loss; without TensorFlow."""

import pytest

from fcn_tf.config.files import load_config
from fcn_tf.config.schema import LossConfig
from fcn_tf.errors import InputError

REFUSED = {
    "no name": ({"name": ""}, r"loss\.name='': it must be one loss, or different ones"),
    "an empty term": ({"name": "dice +"}, r"loss\.name='dice \+'"),
    "a term twice": ({"name": "dice + dice"}, r"loss\.name='dice \+ dice'"),
    "gamma of another": (
        {"name": "dice", "focal_gamma": 2.0},
        r"loss\.focal_gamma=2\.0: .* left out \(null\) with loss\.name=dice, .* of focal alone",
    ),
    "a negative gamma": ({"name": "focal", "focal_gamma": -0.1}, r"loss\.focal_gamma=-0\.1"),
    "an infinite gamma": ({"name": "focal", "focal_gamma": float("inf")}, r"loss\.focal_gamma"),
    "a sample for dice": (
        {"name": "cross_entropy + dice", "sample_fraction": 0.5},
        r"loss\.sample_fraction=0\.5: it must be 1 with dice",
    ),
    "a sample for ohem": (
        {"name": "ohem", "ohem_share": 0.5, "sample_fraction": 0.5},
        r"loss\.sample_fraction=0\.5: it must be 1 with ohem, which chooses",
    ),
    "ohem without a choice": ({"name": "ohem + dice"}, r"loss\.name=ohem \+ dice: say which"),
    "a share of another": ({"ohem_share": 0.5}, r"loss\.ohem_share=0\.5: .* of ohem alone"),
    "a threshold of another": ({"ohem_threshold": 0.5}, r"loss\.ohem_threshold=0\.5: .* of ohem"),
    "no share": ({"name": "ohem", "ohem_share": 0.0}, r"loss\.ohem_share=0\.0: it must be above 0"),
    "more than all": ({"name": "ohem", "ohem_share": 1.01}, r"loss\.ohem_share=1\.01"),
    "no threshold": ({"name": "ohem", "ohem_threshold": 0.0}, r"loss\.ohem_threshold=0\.0"),
    "a threshold of all": ({"name": "ohem", "ohem_threshold": 1.0}, r"loss\.ohem_threshold=1\.0"),
    "a sum of dice": ({"name": "dice", "reduction": "sum"}, r"loss\.reduction='sum': .* mean with"),
    "dice beside a sum": (
        {"name": "focal + dice", "reduction": "sum"},
        r"loss\.reduction='sum': it must be mean or pixels with loss\.name=focal \+ dice",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused(case):
    values, message = REFUSED[case]
    with pytest.raises(InputError, match=f"^{message}"):
        LossConfig(**values)


def test_what_goes_together():
    assert LossConfig(name="focal").focal_gamma == 2
    assert LossConfig(name="cross_entropy+focal", focal_gamma=0.0).focal_gamma == 0
    assert LossConfig().focal_gamma is None
    assert LossConfig(name="dice", class_weights=[1.0, 2.0]).class_weights == [1, 2]
    assert LossConfig(name="focal", sample_fraction=0.5, reduction="sum").reduction == "sum"
    assert LossConfig(name="ohem", ohem_share=1.0).ohem_threshold is None
    both = LossConfig(name="ohem", ohem_share=0.1, ohem_threshold=0.99, reduction="pixels")
    assert (both.ohem_share, both.ohem_threshold) == (0.1, 0.99)
    assert LossConfig(name="mine", sample_fraction=0.5, reduction="sum").name == "mine"


def test_a_sum_is_given_as_it_is_written():
    """Blanks and the plus are part of a value of YAML."""
    config = load_config(**{"loss.name": "cross_entropy + dice"})
    assert (config.loss.name, config.loss.focal_gamma) == ("cross_entropy + dice", None)
