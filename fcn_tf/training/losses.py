"""Softmax cross-entropy over the labelled pixels, normalised in one named way."""

import keras
from keras import ops

from fcn_tf.classes import VOID

REDUCTIONS = ("mean", "sum")


@keras.saving.register_keras_serializable("fcn_tf")
class SegmentationLoss(keras.losses.Loss):
    """Softmax cross-entropy over the pixels that have a label.

    With w the weight of a pixel's class, 0 where the label is VOID:

    - "mean" is sum(w * loss) / sum(w) over the batch, 0 if nothing is labelled;
    - "sum" is sum(w * loss) / N, Caffe's SoftmaxWithLoss with normalize: false,
      with which the authors trained.

    With a sample fraction p each labelled pixel is kept with probability p and counts 1 / p
    times, so that the expected gradient is that of all pixels: what Long et al. make of
    patchwise training (section 3.4). The batch is the user's: the paper makes it 1 / p times
    as large. Keras does not tell a loss whether it trains: with `compile`, `evaluate`
    takes a sample too.

    `y_true` is uint8 or int32 (N, H, W), class indices and VOID; `y_pred` is
    (N, H, W, C), logits. The loss is float32 under every dtype policy.

    Args:
        reduction: "mean" or "sum".
        class_weights: C factors >= 0, or None for 1 each.
        sample_fraction: float in (0, 1], p.
        seed: int, of the pixels that are drawn.

    Attributes:
        random_states: Keras variables, the state of what is drawn; none where p is 1.

    Raises:
        ValueError: another reduction or fraction, or a sample on JAX, whose losses have no
            state.
    """

    def __init__(
        self,
        reduction="mean",
        class_weights=None,
        sample_fraction=1.0,
        seed=0,
        name="segmentation_loss",
    ):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: choose one of {', '.join(REDUCTIONS)}.")
        if not 0 < sample_fraction <= 1:
            raise ValueError(
                f"sample_fraction={sample_fraction!r}: it must be above 0 and at most 1."
            )
        if sample_fraction < 1 and keras.backend.backend() == "jax":
            raise ValueError("sample_fraction: a loss keeps no state on JAX; leave it at 1.")
        # The shares of the pixels are summed up, whatever they are shares of.
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.normalization = reduction
        self.class_weights = None if class_weights is None else list(class_weights)
        self.sample_fraction = sample_fraction
        self.seed = seed
        self._drawn = keras.random.SeedGenerator(seed) if sample_fraction < 1 else None
        self.random_states = [self._drawn.state] if self._drawn else []

    def call(self, y_true, y_pred):
        norm = self.normalizer(y_true)
        losses = self._sampled(self._weighted(y_true, y_pred))
        return ops.where(norm > 0, losses / ops.maximum(norm, 1e-30), 0.0)

    def total(self, y_true, y_pred, training=False):
        """Sum of w * loss, of the sample in training; a float32 scalar."""
        losses = self._weighted(y_true, y_pred)
        return ops.sum(self._sampled(losses) if training else losses)

    def normalizer(self, y_true):
        """What `total` is divided by: a float32 scalar that needs no prediction.

        So the shares of a batch, on several devices or one after the other, can
        be divided by what belongs to the whole batch: add their normalizers.
        """
        if self.normalization == "mean":
            return ops.sum(self._weights(y_true))
        return ops.cast(ops.shape(y_true)[0], "float32")

    def _sampled(self, losses):
        """The losses of the pixels that are drawn, (N, H, W), in the scale of all."""
        if self._drawn is None:
            return losses
        drawn = keras.random.uniform(ops.shape(losses), seed=self._drawn) < self.sample_fraction
        return ops.where(drawn, losses / self.sample_fraction, 0.0)

    def _weights(self, y_true):
        valid = ops.not_equal(y_true, VOID)
        weights = ops.cast(valid, "float32")
        if self.class_weights is None:
            return weights
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        return weights * ops.take(ops.array(self.class_weights, "float32"), labels)

    def _weighted(self, y_true, y_pred):
        """w * loss of each pixel, (N, H, W)."""
        valid = ops.not_equal(y_true, VOID)
        labels = ops.where(valid, ops.cast(y_true, "int32"), 0)
        losses = ops.sparse_categorical_crossentropy(
            labels, ops.cast(y_pred, "float32"), from_logits=True
        )
        # where, not a product: a loss of infinity under VOID must not become NaN.
        return ops.where(valid, losses * self._weights(y_true), 0.0)

    def get_config(self):
        return {
            "reduction": self.normalization,
            "class_weights": self.class_weights,
            "sample_fraction": self.sample_fraction,
            "seed": self.seed,
            "name": self.name,
        }
