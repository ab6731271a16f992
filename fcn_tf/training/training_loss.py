"""What the training loop asks of a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Tensor = Any  # a tensor of Keras' backend, or an array


class TrainingLoss:
    """What the training loop asks of a loss.

    One step may be computed in shares: on several devices, and on several accumulated
    batches. Each device computes `total` and its gradient on its share. The loop adds up
    both over the shares and divides by the sum of `normalizer` over the same shares. So the
    loss of the whole step is

        sum of total(share) / sum of normalizer(share)

    A loss of several terms, each with a divisor of its own, returns one number for each term
    from both methods, float32 (terms,). The loss of the step is then the sum of the quotients.

    A loss that is no sum over pixels needs numbers of the whole step before it can compute
    the gradient of a share: soft dice needs the intersections and the sizes of the classes.
    Such a loss sets `needs_sums`. The loop then runs the network on every share first,
    without a gradient and with the same dropout, adds up what `sums` returns over all shares,
    and passes the result to `total` as constants. A step of one share needs no first pass:
    `total` takes the sums of the share.

    In all methods `y_true` is uint8 or int32 (N, H, W), class indices and VOID, and `y_pred`
    is (N, H, W, C), logits.

    Attributes:
        needs_sums: whether the loop makes the first pass.
        random_states: Keras variables that the loss changes when it draws random numbers. A
            checkpoint holds them.
    """

    needs_sums: bool = False
    random_states: Sequence[Any] = ()

    @property
    def in_evaluation(self) -> TrainingLoss:
        """The loss that evaluations report, where it is another one than that of training."""
        return self

    def total(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        training: bool = False,
        sums: Any = None,
    ) -> Tensor:
        """What a share adds to the loss of the step, before the division.

        A float32 scalar, or (terms,). Values and gradients have to add up over the shares to
        those of the whole. In evaluation a share may be a tile of an image.

        Args:
            y_true, y_pred: the share.
            training: whether a gradient is taken; evaluation passes False.
            sums: what `sums` returns, added up over the whole step, as constants; in evaluation
                over the whole image. None where `needs_sums` is False, and where the share is
                the whole.
        """
        raise NotImplementedError

    def normalizer(self, y_true: Tensor) -> Tensor:
        """The part of a share in what the total is divided by; a float32 scalar, or (terms,).

        It depends on the masks alone: it is added up over the whole step before the forward
        pass.
        """
        raise NotImplementedError

    def sums(self, y_true: Tensor, y_pred: Tensor) -> Any:
        """What has to be known of the whole step: a float32 tensor, or a tuple of them.

        The shapes must not depend on the share's. Only called where `needs_sums` is True.
        """
        raise NotImplementedError
