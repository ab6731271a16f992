"""What `loss.name` may say, and which keys of `loss` go with which loss.

The losses themselves are in training/losses.py, which imports Keras. What is here refuses a
configuration before that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fcn_tf.errors import InputError, check

# The keys that one loss alone has, by their name in the section `loss`: the rest of the name is
# the loss's own name for it.
OF_ONE_LOSS = {"focal_gamma": "focal", "ohem_share": "ohem", "ohem_threshold": "ohem"}
FOCAL_GAMMA = 2.0  # of Lin et al. 2017
# Why a loss takes no sample of the pixels.
WITHOUT_SAMPLE = {
    "dice": "which needs all pixels of the batch",
    "ohem": "which chooses the pixels itself",
}


def loss_terms(name: str) -> tuple[str, ...]:
    """The names in a sum of losses: "cross_entropy + dice" has two."""
    return tuple(term.strip() for term in name.split("+"))


def check_loss_settings(
    name: str, reduction: str, sample_fraction: float, own: Mapping[str, float | None]
) -> None:
    """Refuses settings that have no meaning for a loss. Whether there is such a loss is not asked.

    Args:
        name: as `loss.name`.
        reduction: as `loss.reduction`.
        sample_fraction: as `loss.sample_fraction`.
        own: the keys of `OF_ONE_LOSS` with their values, None where they are not given.

    Raises:
        InputError: a value is refused.
    """
    terms = loss_terms(name)
    once = all(terms) and len(set(terms)) == len(terms)
    check(once, "loss.name", name, "one loss, or different ones with + between them")
    for key, value in own.items():
        allowed = f"left out (null) with loss.name={name}, as it is of {OF_ONE_LOSS[key]} alone"
        check(value is None or OF_ONE_LOSS[key] in terms, f"loss.{key}", value, allowed)
    for term, reason in WITHOUT_SAMPLE.items():
        fits = term not in terms or sample_fraction == 1
        check(fits, "loss.sample_fraction", sample_fraction, f"1 with {term}, {reason}")
    if terms == ("dice",):
        allowed = "mean with loss.name=dice, which divides by nothing that could be chosen"
        check(reduction == "mean", "loss.reduction", reduction, allowed)
    elif "dice" in terms:
        allowed = f"mean or pixels with loss.name={name}: beside a sum dice would count nothing"
        check(reduction != "sum", "loss.reduction", reduction, allowed)
    _check_own(own)
    if "ohem" in terms and own["ohem_share"] is None and own["ohem_threshold"] is None:
        raise InputError(
            f"loss.name={name}: say which pixels are hard. Give loss.ohem_share (0.25 is a quarter "
            "of each image), or loss.ohem_threshold (0.7 are those whose class has a lower "
            "probability), or both."
        )


def _check_own(own: Mapping[str, float | None]) -> None:
    """The range of each key of `OF_ONE_LOSS`."""
    gamma, share, threshold = (own[key] for key in OF_ONE_LOSS)
    check(gamma is None or 0 <= gamma < math.inf, "loss.focal_gamma", gamma, "0 or above")
    check(share is None or 0 < share <= 1, "loss.ohem_share", share, "above 0 and at most 1")
    fits = threshold is None or 0 < threshold < 1
    check(fits, "loss.ohem_threshold", threshold, "a probability above 0 and below 1")
