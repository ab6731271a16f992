"""The cross-entropy of the pixels that have a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fcn_tf.classes import VOID
from fcn_tf.errors import InputError
from fcn_tf.evaluation.batches import masks_like
from fcn_tf.training.training_loss import Tensor, TrainingLoss

REDUCTIONS = ("mean", "pixels", "sum")


@keras.saving.register_keras_serializable("fcn_tf")
class SegmentationLoss(TrainingLoss, keras.losses.Loss):
    """Softmax cross-entropy over the pixels that have a label.

    With w the weight of a pixel's class, 0 where the label is VOID:

    - "mean" is sum(w * loss) / sum(w) over the batch, 0 if nothing is labelled;
    - "pixels" is sum(w * loss) / the number of labelled pixels of the batch, with which SegNet's
      authors trained (Caffe's SoftmaxWithLoss with class weights); without weights it is the mean;
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
        reduction: "mean", "pixels" or "sum".
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
        losses = self._sampled(self.of_pixels(y_true, y_pred))
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
        losses = self.of_pixels(y_true, y_pred)
        return ops.sum(self._sampled(losses) if training else losses)

    def normalizer(self, y_true: Tensor) -> Tensor:
        """Sum of w for "mean", number of labelled pixels for "pixels", of images for "sum"."""
        if self.normalization == "sum":
            return ops.cast(ops.shape(y_true)[0], "float32")
        return ops.sum(self.shares_of_divisor(y_true))

    def shares_of_divisor(self, y_true: Tensor) -> Tensor:
        """What each pixel adds to the divisor of "mean" and of "pixels", float32 (N, H, W)."""
        if self.normalization == "mean":
            return self.weights(y_true)
        return labelled_pixels(y_true)

    def _sampled(self, losses: Tensor) -> Tensor:
        """The losses of the pixels that are drawn, divided by p, and 0 elsewhere, (N, H, W)."""
        if self._drawn is None:
            return losses
        drawn = keras.random.uniform(ops.shape(losses), seed=self._drawn) < self.sample_fraction
        return ops.where(drawn, losses / self.sample_fraction, 0.0)

    def weights(self, y_true: Tensor) -> Tensor:
        """w of each pixel, float32 (N, H, W)."""
        valid = ops.not_equal(y_true, VOID)
        weights = ops.cast(valid, "float32")
        if self.class_weights is None:
            return weights
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        return weights * ops.take(ops.array(self.class_weights, "float32"), labels)

    def of_pixels(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """w * loss of each pixel, (N, H, W)."""
        y_true = masks_like(y_true, y_pred)
        return self.cross_entropy(y_true, y_pred) * self.weights(y_true)

    def cross_entropy(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The softmax cross-entropy of each pixel, 0 under VOID, (N, H, W).

        Args:
            y_true: masks (N, H, W).
            y_pred: logits (N, H, W, C).
        """
        classes = y_pred.shape[-1]
        check_weights(self.class_weights, classes)
        valid = ops.not_equal(y_true, VOID)
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        losses = ops.sparse_categorical_crossentropy(
            labels, ops.cast(y_pred, "float32"), from_logits=True
        )
        if keras.backend.backend() == "jax":  # where a label that is no class would cost nothing
            losses = nan_where_no_class(losses, labels, classes)
        # where, not a product: 0 times an infinite loss under VOID would be NaN.
        return ops.where(valid, losses, 0.0)

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


def labelled_pixels(y_true: Tensor) -> Tensor:
    """1 where a pixel has a label and 0 under VOID, float32, of the masks' shape."""
    return ops.cast(ops.not_equal(y_true, VOID), "float32")


def check_weights(class_weights: Sequence[float] | None, classes: int) -> None:
    """Refuses class weights that are not one for each class.

    Raises:
        InputError: they are another number.
    """
    if class_weights is not None and len(class_weights) != classes:
        raise InputError(f"class_weights has {len(class_weights)} numbers for {classes} classes.")


def nan_where_no_class(losses: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The losses of pixels, and NaN where a label is not in 0 to num_classes - 1."""
    return ops.where((labels >= 0) & (labels < num_classes), losses, float("nan"))
