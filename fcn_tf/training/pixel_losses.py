"""Losses that weigh each pixel by how hard it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fcn_tf.classes import VOID
from fcn_tf.config.losses import FOCAL_GAMMA
from fcn_tf.evaluation.batches import masks_like
from fcn_tf.training.segmentation_loss import SegmentationLoss, labelled_pixels
from fcn_tf.training.training_loss import Tensor, TrainingLoss

# Below it 1 - p is taken for this much: the slope of its power would be infinite at 0.
LEAST_DOUBT = 1e-6


@keras.saving.register_keras_serializable("fcn_tf")
class FocalLoss(SegmentationLoss):
    """Cross-entropy times (1 - p) ** gamma, with p the probability of the pixel's own class.

    Lin et al. 2017, Focal Loss for Dense Object Detection. Their alpha is `class_weights`.
    The reduction is that of `SegmentationLoss`: a pixel that is learned counts in the divisor.

    Args:
        gamma: 0 or above; 0 is the cross-entropy.
        **settings: those of `SegmentationLoss`.
    """

    def __init__(
        self, gamma: float = FOCAL_GAMMA, name: str = "focal_loss", **settings: Any
    ) -> None:
        super().__init__(name=name, **settings)
        self.gamma = gamma

    def of_pixels(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """w * loss of each pixel, (N, H, W)."""
        y_true = masks_like(y_true, y_pred)
        losses = self.cross_entropy(y_true, y_pred)
        doubt = ops.maximum(-ops.expm1(-losses), LEAST_DOUBT)  # 1 - p
        return losses * doubt**self.gamma * self.weights(y_true)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


class OhemLoss(TrainingLoss):
    """The cross-entropy of the hard pixels alone (online hard example mining).

    Shrivastava et al. 2016; of pixels Wu et al. 2016, High-performance Semantic Segmentation.
    A labelled pixel is hard

    - with a share, where it is among that share of its image's labelled pixels whose own class has
      the lowest probability, at least one pixel; of equally hard pixels, of which not all are
      among them, each counts in part;
    - with a threshold, where its own class has a lower probability than that;
    - with both, where either holds: so there is something to learn when no pixel is below it.

    The reductions are those of `SegmentationLoss`, over the hard pixels of the whole step:
    "mean" is sum(w * loss) / sum(w). An evaluation reports the loss of all labelled pixels.

    Args:
        share: float in (0, 1], or None.
        threshold: probability in (0, 1), or None.
        reduction, class_weights: as `SegmentationLoss`.
        **settings: what has no meaning here; `check_loss_settings` refuses it.

    Attributes:
        needs_sums: where the divisor depends on which pixels are hard.
    """

    def __init__(
        self,
        share: float | None = None,
        threshold: float | None = None,
        *,
        reduction: str = "mean",
        class_weights: Sequence[float] | None = None,
        **settings: Any,
    ) -> None:
        self.share, self.threshold = share, threshold
        self.of_all = SegmentationLoss(reduction, class_weights)
        # A share is so many pixels of each image, whichever they are.
        weighted = reduction == "mean" and class_weights is not None
        self.needs_sums = reduction != "sum" and (threshold is not None or weighted)

    @property
    def in_evaluation(self) -> TrainingLoss:
        return self.of_all

    def normalizer(self, y_true: Tensor) -> Tensor:
        """Images for "sum"; else hard pixels, or labelled ones where this needs sums."""
        if self.of_all.normalization == "sum":
            return self.of_all.normalizer(y_true)
        if self.needs_sums:
            return ops.sum(labelled_pixels(y_true))
        return ops.sum(self._wanted(y_true))

    def sums(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """What the hard pixels add to the divisor; and the labelled pixels."""
        hard = self._hard(y_true, self.of_all.cross_entropy(y_true, y_pred))
        return ops.sum(hard * self.of_all.shares_of_divisor(y_true)), self.normalizer(y_true)

    def total(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        training: bool = False,
        sums: Any = None,
    ) -> Tensor:
        """Sum of w * loss over the hard pixels, in units of the normalizer."""
        losses = self.of_all.cross_entropy(y_true, y_pred)
        # A product and no choice, so that a loss that is not a number stays one.
        total = ops.sum(self._hard(y_true, losses) * self.of_all.weights(y_true) * losses)
        if not self.needs_sums:
            return total
        divisor, pixels = self.sums(y_true, y_pred) if sums is None else sums
        return ops.divide_no_nan(total * pixels, divisor)

    def _wanted(self, y_true: Tensor) -> Tensor:
        """How many pixels of each image the share is, float32 (N,)."""
        assert self.share is not None
        labelled = ops.sum(labelled_pixels(y_true), axis=(1, 2))
        return ops.where(labelled > 0, ops.maximum(ops.round(self.share * labelled), 1.0), 0.0)

    def _hard(self, y_true: Tensor, losses: Tensor) -> Tensor:
        """1 where a pixel is hard and 0 elsewhere, or between where it is in part, (N, H, W)."""
        valid = ops.not_equal(y_true, VOID)
        losses = ops.stop_gradient(losses)
        hard = ops.zeros_like(losses)
        if self.threshold is not None:
            hard = ops.cast(valid & (losses > -math.log(self.threshold)), "float32")
        if self.share is not None:
            hard = ops.maximum(hard, self._hardest(valid, losses, self._wanted(y_true)))
        return hard

    def _hardest(self, valid: Tensor, losses: Tensor, wanted: Tensor) -> Tensor:
        """As `_hard`, for the share; `valid` says which pixels are labelled, (N, H, W)."""
        flat = ops.reshape(ops.where(valid, losses, -1.0), (ops.shape(losses)[0], -1))
        rising = ops.sort(flat, axis=-1)
        pixels = ops.shape(flat)[1]
        place = ops.minimum(pixels - ops.cast(wanted, "int32"), pixels - 1)
        least = ops.take_along_axis(rising, place[:, None], axis=1)  # (N, 1)
        above, equal = (ops.cast(x, "float32") for x in (flat > least, flat == least))
        left = wanted[:, None] - ops.sum(above, axis=1, keepdims=True)
        in_part = left / ops.maximum(ops.sum(equal, axis=1, keepdims=True), 1.0)
        return ops.reshape(above + equal * in_part, ops.shape(losses))
