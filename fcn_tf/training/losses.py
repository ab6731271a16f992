"""The losses of training, by name.

To add one, derive a class from `TrainingLoss` and give it a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras import ops

from fcn_tf.classes import VOID
from fcn_tf.config.losses import OF_ONE_LOSS, loss_terms
from fcn_tf.config.schema import LossConfig
from fcn_tf.errors import check
from fcn_tf.training.pixel_losses import FocalLoss, OhemLoss
from fcn_tf.training.segmentation_loss import (
    SegmentationLoss,
    check_weights,
    labelled_pixels,
)
from fcn_tf.training.training_loss import Tensor, TrainingLoss


class DiceLoss(TrainingLoss):
    """1 less the soft dice, a mean over the classes that occur in the masks of the step.

    With t 1 where a pixel has the label c and 0 elsewhere, and p the probability of c, both
    over the labelled pixels of the whole step, the dice of the class is

        2 * sum(t * p) / (sum(t) + sum(p))

    (Milletari et al. 2016, V-Net, without their squares.) A class that is in no mask of the step
    takes no part: its dice would be 0 whatever the network does. Its probabilities are still
    pressed down, as they are missing from the classes that are there.

    Args:
        class_weights: C factors >= 0, of the classes in the mean, or None for 1 each.
        **settings: what has no meaning here; `check_loss_settings` refuses it.
    """

    needs_sums = True

    def __init__(self, class_weights: Sequence[float] | None = None, **settings: Any) -> None:
        self.class_weights = class_weights

    def normalizer(self, y_true: Tensor) -> Tensor:
        """The number of labelled pixels: it adds up over tiles as over images."""
        return ops.sum(labelled_pixels(y_true))

    def sums(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """Of each class sum(t * p), sum(t) and sum(p), float32 (C,); and the labelled pixels."""
        valid = ops.not_equal(y_true, VOID)
        labels = ops.where(valid, ops.cast(y_true, "int32"), -1)
        truth = ops.one_hot(labels, y_pred.shape[-1], dtype="float32")  # 0 in each class for VOID
        chances = ops.softmax(ops.cast(y_pred, "float32"))
        chances = ops.where(valid[..., None], chances, 0.0)
        both, labelled, given = map(_over_pixels, (truth * chances, truth, chances))
        return both, labelled, given, self.normalizer(y_true)

    def total(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        training: bool = False,
        sums: Any = None,
    ) -> Tensor:
        """The share's labelled pixels times the loss of the step."""
        check_weights(self.class_weights, y_pred.shape[-1])
        own = self.sums(y_true, y_pred)
        if sums is not None:  # the values are those of the step, the gradient that of the share
            own = [s + (o - ops.stop_gradient(o)) for s, o in zip(sums, own, strict=True)]
        both, labelled, given, pixels = own
        loss = self._of_sums(both, labelled, given)
        value = ops.stop_gradient(loss)
        return self.normalizer(y_true) * value + pixels * (loss - value)

    def _of_sums(self, both: Tensor, labelled: Tensor, given: Tensor) -> Tensor:
        """The loss, from sums of each class (C,); 0 where no class counts."""
        there = ops.cast(labelled > 0, "float32")
        if self.class_weights is not None:
            there = there * ops.array(self.class_weights, "float32")
        dice = ops.divide_no_nan(2 * both, labelled + given)
        return ops.divide_no_nan(ops.sum(there * (1 - dice)), ops.sum(there))


def _over_pixels(values: Tensor) -> Tensor:
    """The sum of (N, H, W, C) for each class, (C,).

    Axis by axis: one long sum of float32 would lose digits.
    """
    return ops.sum(ops.sum(ops.sum(values, axis=2), axis=1), axis=0)


class SumOfLosses(TrainingLoss):
    """Several losses, each divided by its own normalizer, and added up.

    Args:
        terms: the losses.
    """

    def __init__(self, terms: Iterable[TrainingLoss]) -> None:
        self.terms = list(terms)
        self.needs_sums = any(term.needs_sums for term in self.terms)
        self.random_states = [state for term in self.terms for state in term.random_states]

    @property
    def in_evaluation(self) -> TrainingLoss:
        return SumOfLosses(term.in_evaluation for term in self.terms)

    def normalizer(self, y_true: Tensor) -> Tensor:
        return ops.stack([term.normalizer(y_true) for term in self.terms])

    def total(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        training: bool = False,
        sums: Any = None,
    ) -> Tensor:
        given = iter(sums or ())
        of_terms = [next(given, None) if term.needs_sums else None for term in self.terms]
        return ops.stack(
            [
                term.total(y_true, y_pred, training, of_term)
                for term, of_term in zip(self.terms, of_terms, strict=True)
            ]
        )

    def sums(self, y_true: Tensor, y_pred: Tensor) -> Any:
        return tuple(term.sums(y_true, y_pred) for term in self.terms if term.needs_sums)


# Each is called with the keywords reduction, class_weights, sample_fraction and seed, and with the
# settings that are of it alone: `loss.focal_gamma` is gamma to `focal`.
LOSSES: dict[str, Callable[..., TrainingLoss]] = {
    "cross_entropy": SegmentationLoss,
    "dice": DiceLoss,
    "focal": FocalLoss,
    "ohem": OhemLoss,
}


def check_loss(name: str) -> None:
    """Refuses the name of a loss that does not exist.

    Raises:
        InputError: it is none of `LOSSES`, and no sum of them.
    """
    known = set(loss_terms(name)) <= set(LOSSES)
    check(known, "loss.name", name, f"one of {', '.join(LOSSES)}, or a sum of them (a + b)")


def make_loss(config: LossConfig, class_weights: Sequence[float] | None, seed: int) -> TrainingLoss:
    """The loss that a `LossConfig` describes.

    Args:
        config: its name and its settings.
        class_weights: C factors, or None for 1 each; `config` may only say how to find them.
        seed: of the pixels that are drawn.

    Raises:
        InputError: there is no loss of this name.
    """
    check_loss(config.name)
    terms = [
        LOSSES[name](
            reduction=config.reduction,
            class_weights=class_weights,
            sample_fraction=config.sample_fraction,
            seed=seed,
            **_own_settings(config, name),
        )
        for name in loss_terms(config.name)
    ]
    return terms[0] if len(terms) == 1 else SumOfLosses(terms)


def _own_settings(config: LossConfig, name: str) -> dict[str, Any]:
    """The settings that are of this loss alone, without its name before them."""
    own = [key for key, loss in OF_ONE_LOSS.items() if loss == name]
    return {key.removeprefix(f"{name}_"): getattr(config, key) for key in own}
