"""The losses of training, by name.

To add one, derive a class from `TrainingLoss` and give it a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from fcn_tf.classes import VOID
from fcn_tf.config.schema import LossConfig
from fcn_tf.errors import InputError, check
from fcn_tf.evaluation.batches import masks_like

REDUCTIONS = ("mean", "sum")

Tensor = Any  # a tensor of Keras' backend, or an array


class TrainingLoss:
    """What the training loop asks of a loss.

    One step may be computed in shares: on several devices, and on several accumulated
    batches. Each device computes `total` and its gradient on its share. The loop adds up
    both over the shares and divides by the sum of `normalizer` over the same shares. So the
    loss of the whole step is

        sum of total(share) / sum of normalizer(share)

    A loss that is no sum over pixels needs numbers of the whole step before it can compute
    the gradient of a share: soft dice needs the intersections and the sizes of the classes.
    Such a loss sets `needs_sums`. The loop then runs the network on every share first,
    without a gradient and with the same dropout, adds up what `sums` returns over all shares,
    and passes the result to `total` as constants.

    In all methods `y_true` is uint8 or int32 (N, H, W), class indices and VOID, and `y_pred`
    is (N, H, W, C), logits.

    Attributes:
        needs_sums: whether the loop makes the first pass.
        random_states: Keras variables that the loss changes when it draws random numbers. A
            checkpoint holds them.
    """

    needs_sums: bool = False
    random_states: Sequence[Any] = ()

    def total(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        training: bool = False,
        sums: Any = None,
    ) -> Tensor:
        """What a share adds to the loss of the step, before the division; a float32 scalar.

        Values and gradients have to add up over the shares to those of the whole.

        Args:
            y_true, y_pred: the share.
            training: whether a gradient is taken; evaluation passes False.
            sums: what `sums` returns, added up over the whole step, as constants; in evaluation
                over the whole image. None where `needs_sums` is False, and where the loss of
                `y_true` alone is asked for.
        """
        raise NotImplementedError

    def normalizer(self, y_true: Tensor) -> Tensor:
        """The part of a share in what the total is divided by; a float32 scalar.

        It depends on the masks alone: it is added up over the whole step before the forward
        pass.
        """
        raise NotImplementedError

    def sums(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """What has to be known of the whole step: a float32 tensor, or a tuple of them.

        The shapes must not depend on the share's. Only called where `needs_sums` is True.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable("fcn_tf")
class SegmentationLoss(TrainingLoss, keras.losses.Loss):
    """Softmax cross-entropy over the pixels that have a label.

    With w the weight of a pixel's class, 0 where the label is VOID:

    - "mean" is sum(w * loss) / sum(w) over the batch, 0 if nothing is labelled;
    - "sum" is sum(w * loss) / N, Caffe's SoftmaxWithLoss with normalize: false,
      with which the authors trained.

    With a sample fraction p each labelled pixel is kept with probability p, and a pixel that is
    kept counts 1 / p times. So the expected gradient is that of all pixels. Long et al. show that
    such sampling does what patchwise training does (section 3.4). They also make the batch
    1 / p times as large; here the batch size is the user's choice. Keras does not tell a loss
    whether it trains: with `compile`, `evaluate` takes a sample too.

    `y_true` is uint8 or int32 (N, H, W) or (N, H, W, 1), class indices and VOID; `y_pred`
    is (N, H, W, C), logits. A sample weight multiplies each image's or pixel's loss; it does
    not change what the loss is divided by. The loss is float32 under every dtype policy.

    Args:
        reduction: "mean" or "sum".
        class_weights: C factors >= 0, or None for 1 each.
        sample_fraction: float in (0, 1], p.
        seed: int, of the pixels that are drawn.

    Raises:
        ValueError: the reduction or the fraction is another one, or the fraction is below 1
            on JAX, where a loss keeps no state.
        InputError: when it is called: the masks, the class weights or the sample weights do
            not fit the logits.

    Example:
        >>> model.compile("adam", loss=fcn_tf.SegmentationLoss("mean"))
    """

    def __init__(
        self,
        reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        sample_fraction: float = 1.0,
        seed: int = 0,
        name: str = "segmentation_loss",
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: choose one of {', '.join(REDUCTIONS)}.")
        if not 0 < sample_fraction <= 1:
            raise ValueError(
                f"sample_fraction={sample_fraction!r}: it must be above 0 and at most 1."
            )
        if sample_fraction < 1 and keras.backend.backend() == "jax":
            raise ValueError("sample_fraction: a loss keeps no state on JAX; leave it at 1.")
        # `call` divides each pixel's loss by the normalizer: Keras has to add them up.
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.normalization = reduction
        self.class_weights = None if class_weights is None else list(class_weights)
        self.sample_fraction = sample_fraction
        self.seed = seed
        self._drawn = keras.random.SeedGenerator(seed) if sample_fraction < 1 else None
        self.random_states = [self._drawn.state] if self._drawn else []

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """The loss of a batch; Keras multiplies the parts of the pixels by their weights.

        Args:
            y_true: masks, (N, H, W) or (N, H, W, 1).
            y_pred: logits, (N, H, W, C).
            sample_weight: (N,), (N, H, W) or (N, H, W, 1), or None for 1 each.
        """
        if sample_weight is not None:
            sample_weight = _weights_like(sample_weight, y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Each pixel's part of the loss, (N, H, W); Keras adds them up."""
        y_true = masks_like(y_true, y_pred)
        losses = self._sampled(self._weighted(y_true, y_pred))
        norm = self.normalizer(y_true)
        return ops.where(norm > 0, losses / ops.maximum(norm, 1e-30), 0.0)

    def total(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        training: bool = False,
        sums: Any = None,
    ) -> Tensor:
        """Sum of w * loss over the pixels; in training, over the sample of them."""
        losses = self._weighted(y_true, y_pred)
        return ops.sum(self._sampled(losses) if training else losses)

    def normalizer(self, y_true: Tensor) -> Tensor:
        """Sum of w for "mean", the number of images for "sum"."""
        if self.normalization == "mean":
            return ops.sum(self._weights(y_true))
        return ops.cast(ops.shape(y_true)[0], "float32")

    def _sampled(self, losses: Tensor) -> Tensor:
        """The losses of the pixels that are drawn, divided by p, and 0 elsewhere, (N, H, W)."""
        if self._drawn is None:
            return losses
        drawn = keras.random.uniform(ops.shape(losses), seed=self._drawn) < self.sample_fraction
        return ops.where(drawn, losses / self.sample_fraction, 0.0)

    def _weights(self, y_true: Tensor) -> Tensor:
        """w of each pixel, float32 (N, H, W)."""
        valid = ops.not_equal(y_true, VOID)
        weights = ops.cast(valid, "float32")
        if self.class_weights is None:
            return weights
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        return weights * ops.take(ops.array(self.class_weights, "float32"), labels)

    def _weighted(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """w * loss of each pixel, (N, H, W)."""
        y_true = masks_like(y_true, y_pred)
        classes, given = y_pred.shape[-1], self.class_weights
        if given is not None and len(given) != classes:
            raise InputError(f"class_weights has {len(given)} numbers for {classes} classes.")
        valid = ops.not_equal(y_true, VOID)
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        losses = ops.sparse_categorical_crossentropy(
            labels, ops.cast(y_pred, "float32"), from_logits=True
        )
        if keras.backend.backend() == "jax":  # where a label that is no class would cost nothing
            losses = nan_where_no_class(losses, labels, classes)
        # where, not a product: 0 times an infinite loss under VOID would be NaN.
        return ops.where(valid, losses * self._weights(y_true), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            "reduction": self.normalization,
            "class_weights": self.class_weights,
            "sample_fraction": self.sample_fraction,
            "seed": self.seed,
            "name": self.name,
        }


def _weights_like(sample_weight: Tensor, y_pred: Tensor) -> Tensor:
    """Weights of images as (N, 1, 1), and weights of pixels as (N, H, W).

    Raises:
        InputError: they are of another shape.
    """
    shape = tuple(sample_weight.shape)
    if len(shape) == 1:
        return ops.reshape(sample_weight, (-1, 1, 1))
    if shape == (y_pred.shape[0], 1, 1):
        return sample_weight
    return masks_like(sample_weight, y_pred)


def nan_where_no_class(losses: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The losses of pixels, and NaN where a label is not in 0 to num_classes - 1."""
    return ops.where((labels >= 0) & (labels < num_classes), losses, float("nan"))


# Each is called with the keywords reduction, class_weights, sample_fraction and seed.
LOSSES: dict[str, Callable[..., TrainingLoss]] = {
    "cross_entropy": SegmentationLoss,
}


def check_loss(name: str) -> None:
    """Refuses the name of a loss that does not exist.

    Raises:
        InputError: it is none of `LOSSES`.
    """
    check(name in LOSSES, "loss.name", name, f"one of {', '.join(LOSSES)}")


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
    return LOSSES[config.name](
        reduction=config.reduction,
        class_weights=class_weights,
        sample_fraction=config.sample_fraction,
        seed=seed,
    )
