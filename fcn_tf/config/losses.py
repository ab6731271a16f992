"""What `loss.name` may say, and which keys of `loss` go with which loss.

The losses themselves are in training/losses.py, which imports Keras. What is here refuses a
configuration before that.
"""

from __future__ import annotations

from collections.abc import Mapping

from fcn_tf.errors import check

# The keys that one loss alone has, by their name in the section `loss`: the rest of the name is
# the loss's own name for it.
OF_ONE_LOSS = {"focal_gamma": "focal"}
FOCAL_GAMMA = 2.0  # of Lin et al. 2017
# These are no sums over pixels: neither can take a sample of them.
WITHOUT_SAMPLE = ("dice",)


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
    for term in set(terms) & set(WITHOUT_SAMPLE):
        allowed = f"1 with {term}, which needs all pixels of the batch"
        check(sample_fraction == 1, "loss.sample_fraction", sample_fraction, allowed)
    if terms == ("dice",):
        allowed = "mean with loss.name=dice, which divides by nothing that could be chosen"
        check(reduction == "mean", "loss.reduction", reduction, allowed)
    elif "dice" in terms:
        allowed = f"a mean with loss.name={name}: beside a sum over pixels dice would count nothing"
        check(reduction != "sum", "loss.reduction", reduction, allowed)
    gamma = own.get("focal_gamma")
    check(gamma is None or 0 <= gamma < float("inf"), "loss.focal_gamma", gamma, "0 or above")
