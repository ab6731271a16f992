"""The heads of torchvision's networks: from a trunk's maps to scores.

Each takes the maps by endpoint, the arguments of `build_fcn`, the number of classes, and the dtype
policy. It returns float32 scores (N, h, w, num_classes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import layers

from fcn_tf.config.networks import WHOLE_NETWORKS, NetworkArguments
from fcn_tf.models.layers import ResizeLike, Tensor, scores_of
from fcn_tf.models.torchvision.layers import JoinedConv2D, convolution, normalized

# torchvision's. At a stride of 8 Chen et al. 2017 (section 4.2) have the same, at 16 half of them;
# torchvision's MobileNetV3 has the same at 16.
ASPP_RATES = (12, 24, 36)


def fcn(
    endpoints: Mapping[str, Tensor], network: NetworkArguments, num_classes: int, dtype: Any
) -> Tensor:
    """A convolution of 3 x 3 to a quarter of the channels; at the stride of the last map."""
    x = endpoints["high"]
    x = convolution(x, "classifier_0", x.shape[-1] // 4, 3, norm="classifier_1", dtype=dtype)
    return scores_of(_dropped(x, network.dropout, "classifier_3", dtype), num_classes)


def deeplab(
    endpoints: Mapping[str, Tensor], network: NetworkArguments, num_classes: int, dtype: Any
) -> Tensor:
    """DeepLab v3: atrous spatial pyramid pooling with image pooling (Chen et al. 2017, 3.3).

    torchvision adds a convolution of 3 x 3 behind it, and drops features before that one. The rates
    reach as far in the image at every stride.
    """
    published_stride, *_ = WHOLE_NETWORKS[network.variant].output_strides
    rates = [rate * published_stride // network.output_stride for rate in ASPP_RATES]
    return deeplab_scores(endpoints["high"], rates, network, num_classes, dtype=dtype)


def deeplab_scores(
    x: Tensor, rates: Sequence[int], network: NetworkArguments, num_classes: int, *, dtype: Any
) -> Tensor:
    """The scores (N, h, w, num_classes) of a map (N, h, w, C), as `deeplab` makes them.

    Args:
        x: the map.
        rates: of the three dilated convolutions.
        network, num_classes, dtype: as all heads take them.
    """
    filters = round(256 * network.width)
    branch = "classifier_0_convs_{}_{}".format
    parts = [convolution(x, branch(0, 0), filters, 1, norm=branch(0, 1), dtype=dtype)]
    for number, rate in enumerate(rates, start=1):
        name, norm = branch(number, 0), branch(number, 1)
        parts.append(convolution(x, name, filters, 3, norm=norm, dilation_rate=rate, dtype=dtype))
    number = len(parts)
    cell = layers.GlobalAveragePooling2D(keepdims=True, name=branch(number, 0), dtype=dtype)(x)
    cell = convolution(cell, branch(number, 1), filters, 1, norm=branch(number, 2), dtype=dtype)
    project = "classifier_0_project"
    x = JoinedConv2D(filters, name=f"{project}_0", dtype=dtype)([*parts, cell])
    x = normalized(x, f"{project}_1", dtype=dtype)
    x = _dropped(x, network.dropout, f"{project}_3", dtype)
    x = convolution(x, "classifier_1", filters, 3, norm="classifier_2", dtype=dtype)
    return scores_of(x, num_classes)


def lraspp(
    endpoints: Mapping[str, Tensor], network: NetworkArguments, num_classes: int, dtype: Any
) -> Tensor:
    """LR-ASPP, the head for phones (Howard et al. 2019, section 6.4); at 1/8.

    The features are multiplied by the sigmoid of their average over the whole image. As published
    nothing is dropped.
    """
    x, filters = endpoints["high"], round(128 * network.width)
    features = convolution(x, "classifier_cbr_0", filters, 1, norm="classifier_cbr_1", dtype=dtype)
    cell = layers.GlobalAveragePooling2D(keepdims=True, name="classifier_scale_0", dtype=dtype)(x)
    cell = layers.Conv2D(
        filters,
        1,
        use_bias=False,
        activation="sigmoid",
        name="classifier_scale_1",
        dtype=dtype,
    )(cell)
    features = layers.Multiply(name="classifier_scaled", dtype=dtype)([features, cell])
    features = _dropped(features, network.dropout, "classifier_dropout", dtype)
    # Scoring and bilinear resizing can change places: the shares of a place add up to 1.
    high = scores_of(features, num_classes, "score_high")
    high = ResizeLike(name="resize_high", dtype="float32")([high, endpoints["low"]])
    low = scores_of(endpoints["low"], num_classes, "score_low")
    return layers.Add(name="score_sum", dtype="float32")([high, low])


def _dropped(x: Tensor, dropout: float, name: str, dtype: Any) -> Tensor:
    return layers.Dropout(dropout, name=name, dtype=dtype)(x) if dropout else x


HEADS: dict[str, Callable[..., Tensor]] = {
    "fcn": fcn,
    "deeplabv3": deeplab,
    "lraspp": lraspp,
}
