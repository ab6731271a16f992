"""Losses that weigh each pixel by how hard it is."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from fcn_tf.config.losses import FOCAL_GAMMA
from fcn_tf.evaluation.batches import masks_like
from fcn_tf.training.segmentation_loss import SegmentationLoss
from fcn_tf.training.training_loss import Tensor

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
