"""FCN-32s, FCN-16s and FCN-8s, and the networks of `whole.py`, as Keras models.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015. Layers have the names that the authors published. Maps are (N, H, W, C), and H/8
means ceil(H / 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import keras

from fcn_tf.classes import check_num_classes
from fcn_tf.config.networks import (
    GEOMETRIES,
    NETWORK_KEYS,
    TRUNK_HEADS,
    TRUNKS,
    WHOLE_NETWORKS,
    NetworkArguments,
    check_network,
    published_stride,
)
from fcn_tf.errors import check
from fcn_tf.models.head import fcn_head
from fcn_tf.models.layers import CaffePreprocessing, Standardization, Tensor
from fcn_tf.models.trunk_heads import HEADS
from fcn_tf.models.trunks import BUILDERS
from fcn_tf.models.trunks.arguments import TrunkArguments
from fcn_tf.models.whole import whole_network

ImageShape = Sequence[int | None]
Palette = Sequence[Sequence[int]]


def build_fcn(
    variant: str,
    num_classes: int = 21,
    trunk: str = "vgg16",
    width: float = 1.0,
    head_units: int = 4096,
    fc6_kernel: int = 7,
    dropout: float = 0.5,
    geometry: str = "same",
    upsampling: str = "learned",
    output_stride: int = 32,
    input_shape: ImageShape = (None, None, 3),
    class_names: Sequence[str] | None = None,
    palette: Palette | None = None,
    value_range: tuple[float, float] | None = None,
    bands: Sequence[int] | None = None,
    dtype: Any = None,
    multi_grid: Sequence[int] = (),
) -> FCN:
    """Builds a fully convolutional network with fresh weights.

    Convolutions start from He's initialization; those of keras.applications start as Keras
    initializes them. Score layers start at zero and upsampling layers as bilinear
    interpolation, so a fresh network answers 0 everywhere. The scores of "segnet",
    "segnet_basic" and "unet" start from He's initialization, as published.

    Args:
        variant: "fcn32s", "fcn16s", "fcn8s" or "fcn8s_atonce"; or torchvision's
            "fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101",
            "deeplabv3_mobilenetv3" or "lraspp_mobilenetv3", which have their own trunk,
            preprocessing and head; or "unet", "segnet" or "segnet_basic"; or "unet_on_trunk" or
            "deeplabv3_on_trunk", which have the head of these networks on `trunk`.
        num_classes: number of channels of the logits, 2 to 255.
        trunk: a key of `fcn_tf.config.networks.TRUNKS`.
        width: factor on the number of filters of the trunk's convolutions, at least 1/64.
        head_units: filters of fc6 and fc7, at least 1. Only VGG and AlexNet have them.
        fc6_kernel: side of VGG's fc6, an odd number: 7 as published, or 1 for a light head.
        dropout: rate in [0, 1) after fc6 and fc7, or after the last map of a trunk without
            them. Elements are dropped, not channels.
        geometry: "same" (aligned maps, exact up to the border) or "caffe" (100 px of padding
            and the published crops, for published weights); of "unet" "same", or "valid" (as
            published without padding, and the image mirrored at its border).
        upsampling: which upsampling layers are trained: none ("fixed"), all but the last
            ("learned") or all ("learned_all", "nonlinear"). With "nonlinear" the last one
            becomes several by a factor of 2, and an activation follows each but the last.
        output_stride: distance in px between the scores of fcn32s on VGG: 32, 16, 8, 4, 2 or
            1. Below 32 the last pools lose their strides and the layers after them are
            dilated. Of torchvision's ResNets 8 or 16; 32 means 8.
        input_shape: (H, W, 3), None for a side that varies.
        class_names: `num_classes` names that are saved with the model, or None.
        palette: `num_classes` RGB triples in 0..255 that are saved with the model, or None.
        value_range: the values that became 0 and 255 in images of more than 8 bits a channel,
            saved with the model for those who read images for it; None for 8 bits alone.
        bands: the numbers of the bands that became red, green and blue, from 1, saved in the same
            way; None for what each file says.
        dtype: dtype policy, for example "mixed_bfloat16"; by default Keras' own. Logits are
            float32 under every policy.
        multi_grid: three factors, on the rates of the blocks of the last stage of torchvision's
            ResNets: (1, 2, 4) in Chen et al. 2017, section 4.1. By default the rates are
            torchvision's.

    Returns:
        An `FCN`. It maps RGB images in 0..255, (N, H, W, 3), of any size, to float32 logits
        (N, H, W, num_classes).

    Raises:
        InputError: an argument is out of range or does not fit another.

    Example:
        >>> model = fcn_tf.build_fcn("fcn8s", num_classes=2, width=0.25, head_units=256)
        >>> model(np.zeros((1, 375, 500, 3), np.uint8), training=False).shape
        TensorShape([1, 375, 500, 2])
    """
    network = NetworkArguments(
        variant=variant,
        trunk=trunk,
        width=width,
        head_units=head_units,
        fc6_kernel=fc6_kernel,
        dropout=dropout,
        geometry=geometry,
        upsampling=upsampling,
        output_stride=output_stride,
        multi_grid=multi_grid,
    )
    return FCN(
        network,
        num_classes=num_classes,
        input_shape=input_shape,
        class_names=class_names,
        palette=palette,
        value_range=value_range,
        bands=bands,
        dtype=dtype,
    )


@keras.saving.register_keras_serializable("fcn_tf")
class FCN(keras.Model):
    """A functional Keras model that keeps the arguments it was built from; see `build_fcn`.

    Args:
        network: the architecture.
        num_classes, input_shape, class_names, palette, value_range, bands, dtype: as
            `build_fcn`.
        name: name of the model; by default the variant.
        trainable: as `keras.Model`.

    Attributes:
        variant, num_classes, class_names, palette, value_range, bands: as given.
        build_arguments: the arguments of `build_fcn` by name, as they are saved.
        dtype_policy_name: name of the dtype policy of the layers before the scores.

    Raises:
        InputError: as `build_fcn`.
    """

    def __init__(
        self,
        network: NetworkArguments,
        *,
        num_classes: int,
        input_shape: ImageShape,
        class_names: Sequence[str] | None = None,
        palette: Palette | None = None,
        value_range: tuple[float, float] | None = None,
        bands: Sequence[int] | None = None,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        check_num_classes(num_classes)
        is_rgb = len(input_shape) == 3 and input_shape[2] == 3
        check(is_rgb, "input_shape", input_shape, "(height, width, 3), sides None where they vary")
        check_network(network)
        for key, value in (("class_names", class_names), ("palette", palette)):
            fits = value is None or len(value) == num_classes
            check(fits, key, value, f"{num_classes} long (num_classes)")
        network = replace(network, multi_grid=tuple(network.multi_grid))  # a list in files
        if network.output_stride == 32:
            network = replace(network, output_stride=published_stride(network.variant))
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        images = keras.Input(input_shape, name="image", dtype="float32")
        logits = _logits(images, network, num_classes, policy)
        super().__init__(images, logits, name=name or network.variant, trainable=trainable)
        self.variant = network.variant
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.palette = None if palette is None else [list(map(int, rgb)) for rgb in palette]
        low_high = value_range and (float(value_range[0]), float(value_range[1]))
        self.value_range: tuple[float, float] | None = low_high
        self.bands: tuple[int, ...] | None = None if bands is None else tuple(map(int, bands))
        self.dtype_policy_name: str = policy.name
        self.build_arguments: dict[str, Any] = {
            **asdict(network),
            "num_classes": num_classes,
            "input_shape": list(input_shape),
            "class_names": self.class_names,
            "palette": self.palette,
            "value_range": self.value_range,
            "bands": self.bands,
            "dtype": policy.name,
        }

    def get_config(self) -> dict[str, Any]:
        frozen = [layer.name for layer in self.layers if not layer.trainable]
        own = {"name": self.name, "trainable": self.trainable, "frozen_layers": frozen}
        return {**self.build_arguments, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FCN:
        config = dict(config)
        frozen = config.pop("frozen_layers", None)  # older files lack it
        network = {key: config.pop(key) for key in ("variant", *NETWORK_KEYS) if key in config}
        model = cls(NetworkArguments(**network), **config)
        if frozen is not None:
            for layer in model.layers:
                layer.trainable = layer.name not in frozen
        return model

    def with_policy(self, dtype: Any) -> FCN:
        """The same network with a copy of the weights, under another dtype policy.

        Layers that are not trained stay so.

        Args:
            dtype: a dtype policy or its name.
        """
        twin = FCN.from_config({**self.get_config(), "dtype": dtype})
        twin.set_weights(self.get_weights())
        return twin


def train_scores_only(model: FCN) -> None:
    """Freezes all layers but the score layers: FCN-32s-fixed of the paper (table 2)."""
    for layer in model.layers:
        layer.trainable = layer.name.startswith("score_")


def _logits(images: Tensor, network: NetworkArguments, num_classes: int, policy: Any) -> Tensor:
    """The float32 logits (N, H, W, num_classes) of images (N, H, W, 3)."""
    if network.variant in WHOLE_NETWORKS:
        return whole_network(images, network, num_classes, policy)
    endpoints = _endpoints(images, network, policy)
    if network.variant in TRUNK_HEADS:
        head = HEADS[TRUNK_HEADS[network.variant].build]
        return head(images, endpoints, network, num_classes, dtype=policy)
    return fcn_head(images, endpoints, network, num_classes)


def _endpoints(images: Tensor, network: NetworkArguments, policy: Any) -> dict[str, Tensor]:
    """The trunk's maps by endpoint."""
    trunk, geometry = TRUNKS[network.trunk], GEOMETRIES[network.geometry]
    if trunk.rgb:
        preprocessing = Standardization(*trunk.rgb, name="preprocessing")
    else:
        preprocessing = CaffePreprocessing(geometry.mean_bgr, name="preprocessing")
    arguments = TrunkArguments(
        width=network.width,
        head_units=network.head_units,
        fc6_kernel=network.fc6_kernel,
        dropout=network.dropout,
        output_stride=network.output_stride,
        geometry=geometry,
        dtype=policy,
        gives_levels=network.variant in TRUNK_HEADS and TRUNK_HEADS[network.variant].takes_levels,
    )
    return BUILDERS[trunk.build](preprocessing(images), arguments, **trunk.options)
