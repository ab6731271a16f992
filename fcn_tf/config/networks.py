"""The networks that can be built: variants, trunks, geometries, and which of them combine.

The tables import neither Keras nor TensorFlow, so that a configuration is checked before
either is loaded. `fcn_tf.models` builds the networks that the tables describe.

A network of keras.applications becomes a trunk by one more entry of `TRUNKS`; see
`application_trunk`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from fcn_tf.errors import check

# Tiles begin at multiples of it, so that their pooling windows are those of the image.
GRID_PX = 32


@dataclass(frozen=True)
class Skip:
    """A finer map of the trunk whose scores are added to the coarser scores.

    Args:
        endpoint: name of the map, "pool4" (1/16) or "pool3" (1/8).
        score: name of the 1 x 1 convolution that scores the map.
        upscore: name of the layer that doubles the resolution of the coarser scores.
        scale: factor that multiplies the map before it is scored.
        caffe_crop_px: rows at the top and columns at the left, in cells of the map, that are
            cut from the map's scores in the geometry "caffe".
    """

    endpoint: str
    score: str
    upscore: str
    scale: float
    caffe_crop_px: int


@dataclass(frozen=True)
class VariantSpec:
    """How a variant fuses the scores of the trunk's maps.

    Args:
        skips: the finer maps, from coarse to fine; none for FCN-32s.
        upscore: name of the last upsampling layer.
        factor: factor of the last upsampling layer.
        caffe_crop_px: rows at the top and columns at the left that are cut from the logits
            in the geometry "caffe".
    """

    skips: tuple[Skip, ...]
    upscore: str
    factor: int
    caffe_crop_px: int


def _skips(scale_pool4: float = 1, scale_pool3: float = 1) -> tuple[Skip, Skip]:
    """The two skips of FCN-8s, whose first is that of FCN-16s."""
    return (
        Skip("pool4", "score_pool4", "upscore2", scale=scale_pool4, caffe_crop_px=5),
        Skip("pool3", "score_pool3", "upscore_pool4", scale=scale_pool3, caffe_crop_px=9),
    )


# The caffe crops are those of the authors' networks. docs/geometry.md derives them.
VARIANTS = {
    "fcn32s": VariantSpec((), "upscore", factor=32, caffe_crop_px=19),
    "fcn16s": VariantSpec(_skips()[:1], "upscore16", factor=16, caffe_crop_px=27),
    "fcn8s": VariantSpec(_skips(), "upscore8", factor=8, caffe_crop_px=31),
    # The scales make the finer scores start as small as in the staged training. They are
    # the constants of the authors' voc-fcn8s-atonce, for the maps of VGG16.
    "fcn8s_atonce": VariantSpec(_skips(0.01, 0.0001), "upscore8", factor=8, caffe_crop_px=31),
}


@dataclass(frozen=True)
class WholeNetworkSpec:
    """A network that is published as a whole: it has its own trunk, preprocessing and head.

    Args:
        build: key of the builder in `fcn_tf.models.whole.BUILDERS`.
        options: keyword arguments for the builder.
        output_strides: px between the cells of the trunk's last map; as published, then others.
        dropout: share of the features that the published network drops in training.
        geometries: what `geometry` may be.
        upsampling: what `upsampling` may be; "fixed" where nothing of it is trained.
        has_multi_grid: whether the blocks of its last stage may have rates of their own.
        has_auxiliary: whether the published network is trained with a second head on its trunk.
        has_published_weights: whether `import-weights` reads a file of its authors.
        convolutions_of: key of `TRUNKS` of the classifier whose convolutions the network has, under
            the same names, so that its weights fit; None if it has those of none.
    """

    build: str
    options: Mapping[str, Any] = field(default_factory=dict)
    output_strides: tuple[int, ...] = (8, 16)
    dropout: float = 0.0
    geometries: tuple[str, ...] = ("same",)
    upsampling: tuple[str, ...] = ("fixed", "learned")
    has_multi_grid: bool = False
    has_auxiliary: bool = False
    has_published_weights: bool = False
    convolutions_of: str | None = None


def _torchvision(head: str, trunk: str, dropout: float = 0.0) -> WholeNetworkSpec:
    is_resnet = trunk.startswith("resnet")
    return WholeNetworkSpec(
        "torchvision",
        {"head": head, "trunk": trunk},
        output_strides=(8, 16) if is_resnet else (16,),
        dropout=dropout,
        has_multi_grid=is_resnet,
        has_auxiliary=head in ("fcn", "deeplabv3"),
        has_published_weights=True,
    )


# VGG16's blocks of (convolutions, filters): Simonyan and Zisserman 2015, table 1, column D.
_VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

WHOLE_NETWORKS = {
    "fcn_resnet50": _torchvision("fcn", "resnet50", dropout=0.1),
    "fcn_resnet101": _torchvision("fcn", "resnet101", dropout=0.1),
    "deeplabv3_resnet50": _torchvision("deeplabv3", "resnet50", dropout=0.5),
    "deeplabv3_resnet101": _torchvision("deeplabv3", "resnet101", dropout=0.5),
    "deeplabv3_mobilenetv3": _torchvision("deeplabv3", "mobilenetv3", dropout=0.5),
    "lraspp_mobilenetv3": _torchvision("lraspp", "mobilenetv3"),
    # Ronneberger, Fischer and Brox 2015; the rate of dropout is that of the authors' Caffe network.
    "unet": WholeNetworkSpec(
        *("unet", {}, (1,)), dropout=0.5, geometries=("same", "valid"), upsampling=("learned",)
    ),
    "segnet": WholeNetworkSpec("segnet", {"blocks": _VGG16_BLOCKS}, (32,), convolutions_of="vgg16"),
    "segnet_basic": WholeNetworkSpec("segnet_basic", {}, (16,)),
}


@dataclass(frozen=True)
class TrunkHeadSpec:
    """A head of another family than FCN, for each trunk of `TRUNKS` that has the maps it takes.

    Args:
        build: key of `fcn_tf.models.trunk_heads.HEADS`.
        takes_levels: whether it takes a map of each size (`TrunkSpec.levels`). If not, it takes the
            last map alone, of a trunk that can be dilated (`TrunkSpec.is_dilated_from`).
        output_stride: px between the cells of the coarsest map that its trunk makes.
        upsampling: what `upsampling` may be.
    """

    build: str
    takes_levels: bool
    output_stride: int = 32
    upsampling: tuple[str, ...] = ("learned",)


TRUNK_HEADS = {
    "unet_on_trunk": TrunkHeadSpec("unet", takes_levels=True),
    "deeplabv3_on_trunk": TrunkHeadSpec(
        *("deeplabv3", False), output_stride=16, upsampling=("fixed", "learned")
    ),
}


@dataclass(frozen=True)
class GeometrySpec:
    """How a network places its maps on the image.

    Args:
        mean_bgr: the mean that preprocessing subtracts, in BGR order, of pixels in 0..255.
        pad_px: width of the border of zeros around the preprocessed image.
        fc6_padding: Keras' padding of the convolution fc6, "same" or "valid".
    """

    mean_bgr: tuple[float, float, float]
    pad_px: int
    fc6_padding: str


# ImageNet's mean in BGR order, as keras.applications.vgg16 subtracts it.
VGG_MEAN_BGR = (103.939, 116.779, 123.68)
# The mean that the authors' networks subtract (voc_layers.py of their release), in BGR order.
CAFFE_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
# "same" aligns every map at the top left; "caffe" is the published network.
GEOMETRIES = {
    "same": GeometrySpec(VGG_MEAN_BGR, pad_px=0, fc6_padding="same"),
    "caffe": GeometrySpec(CAFFE_MEAN_BGR, pad_px=100, fc6_padding="valid"),
}

# "valid" is that of U-Net's paper: convolutions without padding, and a mirrored border.
GEOMETRY_NAMES = (*GEOMETRIES, "valid")

# Which upsampling layers are trained. The paper learns all but the last (section 4.3);
# "nonlinear" puts an activation between them (section 3.3).
UPSAMPLING = ("fixed", "learned", "learned_all", "nonlinear")

OUTPUT_STRIDES = (32, 16, 8, 4, 2, 1)

# Which of VGG's layers a classifier's weights are copied to.
TRUNK_LAYERS = ("all", "convolutions")

RgbStatistics = tuple[tuple[float, float, float], tuple[float, float, float]]
# Mean and standard deviation of ImageNet's pixels, RGB in 0..255, as PyTorch's networks and
# Keras' EfficientNetV2 expect them.
IMAGENET_RGB: RgbStatistics = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
# "Mean" and "standard deviation" that map 0..255 to -1..1.
FROM_MINUS_1_TO_1: RgbStatistics = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))

# Where the first cell of a map at 1/s has its centre, as a share of s - 1 px. It depends on
# how the layers with a stride are padded:
MIDDLE = 0.5  # 2 x 2 windows that begin at the corner
FIRST = 0.0  # odd kernels, padded by half of their side: the first pixel
LAST = 1.0  # TensorFlow's "same" padding of even sides: the last pixel of the first cell


@dataclass(frozen=True)
class TrunkSpec:
    """A classifier whose convolutional layers an FCN can use as its trunk.

    Args:
        build: key of the builder in `fcn_tf.models.trunks.BUILDERS`.
        options: keyword arguments for the builder.
        classifier: name in keras.applications of the classifier whose weights fit, or None.
        rgb: mean and standard deviation of each channel, RGB in 0..255, by which pixels are
            standardized. None for BGR less the geometry's mean.
        centre: MIDDLE, FIRST or LAST.
        variants: the variants that can use the trunk.
        geometries: the geometries that the trunk supports.
        output_strides: the output strides that the trunk supports under fcn32s.
        has_width: whether the number of filters can be scaled.
        imagenet_widths: the widths for which keras.applications has ImageNet weights.
        upscore_px: side of fcn32s's upsampling kernel in the geometry "caffe".
        caffe_crop_px: rows and columns that fcn32s cuts from the logits in the geometry
            "caffe"; None for those of `VARIANTS`, which are VGG16's.
        levels: its endpoints by their level. A cell of level l has a side of 2 ** (l - 1) px, as in
            U-Net. None if it does not give them.
        is_dilated_from: the endpoint behind which its layers can be dilated in place of their last
            stride, or None.
    """

    build: str
    options: Mapping[str, Any] = field(default_factory=dict)
    classifier: str | None = None
    rgb: RgbStatistics | None = None
    centre: float = MIDDLE
    variants: tuple[str, ...] = tuple(VARIANTS)
    geometries: tuple[str, ...] = ("same",)
    output_strides: tuple[int, ...] = (32,)
    has_width: bool = True
    imagenet_widths: tuple[float, ...] = (1.0,)
    upscore_px: int = 64
    caffe_crop_px: int | None = None
    levels: Mapping[int, str] = field(default_factory=dict)
    is_dilated_from: str | None = None


def application_trunk(
    classifier: str,
    *,
    pool3: str | None,
    pool4: str | None,
    fc7: str | None,
    rgb: RgbStatistics | None,
    centre: float,
    pool1: str | None = None,
    pool2: str | None = None,
    keras_options: Mapping[str, Any] | None = None,
    has_width: bool = True,
    imagenet_widths: tuple[float, ...] = (1.0,),
) -> TrunkSpec:
    """The entry of `TRUNKS` for a network of keras.applications.

    Args:
        classifier: name of the function in keras.applications.
        pool3: name of its layer whose map (1/8) becomes `pool3`. For this and the next two,
            None means the output of the network.
        pool4: name of its layer whose map (1/16) becomes `pool4`.
        fc7: name of its layer whose map (1/32) becomes `fc7`.
        rgb: as `TrunkSpec`.
        centre: as `TrunkSpec`.
        pool1, pool2: names of its layers at 1/2 and 1/4. With both the trunk serves every head of
            `TRUNK_HEADS`.
        keras_options: further keyword arguments of the function in keras.applications.
        has_width: whether that function takes `alpha`, the factor on its filters.
        imagenet_widths: as `TrunkSpec`.
    """
    endpoints = {"pool3": pool3, "pool4": pool4, "fc7": fc7}
    serves_heads = pool1 is not None and pool2 is not None
    if serves_heads:
        endpoints = {"pool1": pool1, "pool2": pool2, **endpoints}
    return TrunkSpec(
        build="application",
        options={
            "classifier": classifier,
            "endpoints": endpoints,
            "keras_options": dict(keras_options or {}),
        },
        classifier=classifier,
        rgb=rgb,
        centre=centre,
        has_width=has_width,
        imagenet_widths=imagenet_widths,
        levels=dict(enumerate(endpoints, start=2)) if serves_heads else {},
        is_dilated_from="pool4" if serves_heads else None,
    )


def _vgg_trunk(classifier: str, blocks: tuple[tuple[int, int], ...]) -> TrunkSpec:
    """VGG with blocks of (convolutions, filters)."""
    return TrunkSpec(
        build="vgg",
        options={"blocks": blocks},
        classifier=classifier,
        geometries=("same", "caffe"),
        output_strides=OUTPUT_STRIDES,
        levels={block: f"block{block}" for block in range(1, len(blocks) + 1)},
    )


TRUNKS = {
    # VGG19 is column E of the same table.
    "vgg16": _vgg_trunk("VGG16", _VGG16_BLOCKS),
    "vgg19": _vgg_trunk("VGG19", ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))),
    # The authors' voc-fcn-alexnet.
    "alexnet": TrunkSpec(
        build="alexnet",
        variants=("fcn32s",),
        geometries=("caffe",),
        upscore_px=63,
        caffe_crop_px=18,
    ),
    "googlenet": TrunkSpec(build="googlenet", centre=LAST),
    "resnet50": application_trunk(
        "ResNet50",
        pool1="conv1_relu",
        pool2="conv2_block3_out",
        pool3="conv3_block4_out",
        pool4="conv4_block6_out",
        fc7="conv5_block3_out",
        rgb=None,
        centre=FIRST,
        has_width=False,
    ),
    "mobilenetv3_large": application_trunk(
        "MobileNetV3Large",
        # The sum behind it, expanded_conv_add, is there at some widths alone.
        pool1="expanded_conv_project_bn",
        pool2="expanded_conv_2_add",
        pool3="expanded_conv_5_add",
        pool4="expanded_conv_11_add",
        fc7=None,
        rgb=FROM_MINUS_1_TO_1,
        centre=LAST,
        keras_options={"include_preprocessing": False},
        imagenet_widths=(0.75, 1.0),
    ),
    "efficientnetv2_b0": application_trunk(
        "EfficientNetV2B0",
        pool1="block1a_project_activation",
        pool2="block2b_add",
        pool3="block3b_add",
        pool4="block5e_add",
        fc7="top_activation",
        rgb=IMAGENET_RGB,
        centre=LAST,
        keras_options={"include_preprocessing": False},
        has_width=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class NetworkArguments:
    """The arguments of `build_fcn` that choose the architecture; it describes their values.

    The defaults are for `.keras` files of before these arguments existed.
    """

    variant: str
    trunk: str
    width: float
    head_units: int
    fc6_kernel: int
    dropout: float
    geometry: str = "same"
    upsampling: str
    output_stride: int = 32
    multi_grid: Sequence[int] = ()


VARIANT_NAMES = (*VARIANTS, *WHOLE_NETWORKS, *TRUNK_HEADS)

# The names of all `NetworkArguments` but the variant: keys of `model` in a configuration.
NETWORK_KEYS = tuple(one.name for one in fields(NetworkArguments) if one.name != "variant")

# What an argument has to satisfy: whether it does, its name, and what is allowed.
_Rule = tuple[bool, str, str]


def check_network(network: NetworkArguments, prefix: str = "") -> None:
    """Checks that every argument is in its range and that the arguments fit together.

    Args:
        network: the arguments.
        prefix: what error messages put before the name of each argument but the variant,
            for example "model.".

    Raises:
        InputError: an argument is out of range or does not fit another.
    """
    for rules in (_range_rules, _rules_of(network.variant)):
        for holds, key, allowed in rules(network):
            name = key if key == "variant" else prefix + key
            check(holds, name, getattr(network, key), allowed)


def _rules_of(variant: str) -> Callable[[NetworkArguments], Iterator[_Rule]]:
    if variant in WHOLE_NETWORKS:
        return _whole_rules
    return _trunk_head_rules if variant in TRUNK_HEADS else _trunk_rules


def published_stride(variant: str) -> int:
    """What an `output_stride` of 32, the default, means for a variant."""
    if variant in WHOLE_NETWORKS:
        return WHOLE_NETWORKS[variant].output_strides[0]
    return TRUNK_HEADS[variant].output_stride if variant in TRUNK_HEADS else 32


def unused_settings(network: NetworkArguments) -> list[str]:
    """What is set away from its default and has no effect in this network, a sentence each.

    Recipes set the units of fc6 and fc7 for the networks that have these layers. Another variant
    or trunk with the same recipe is no mistake, so this is said and not refused.
    """
    is_fcn = network.variant in VARIANTS
    of = f"trunk={network.trunk}" if is_fcn else network.variant
    builder = TRUNKS[network.trunk].build if is_fcn else None
    settings = (
        ("head_units", 4096, ("vgg", "alexnet"), "has no fc6 and fc7"),
        ("fc6_kernel", 7, ("vgg",), "has no fc6 of another size"),
    )
    return [
        f"model.{key}={getattr(network, key)} has no effect: {of} {reason}."
        for key, default, builders, reason in settings
        if builder not in builders and getattr(network, key) != default
    ]


def _range_rules(network: NetworkArguments) -> Iterator[_Rule]:
    """The values of each argument, whatever the others are."""
    yield _one_of(network, "variant", VARIANT_NAMES)
    yield _one_of(network, "trunk", TRUNKS)
    yield _one_of(network, "geometry", GEOMETRY_NAMES)
    yield _one_of(network, "upsampling", UPSAMPLING)
    yield _one_of(network, "output_stride", OUTPUT_STRIDES)
    yield 1 / 64 <= network.width < math.inf, "width", "at least 1/64, and finite"
    yield network.head_units >= 1, "head_units", "at least 1"
    is_odd = network.fc6_kernel >= 1 and network.fc6_kernel % 2 == 1
    yield is_odd, "fc6_kernel", "odd: 7 as published, or 1 for a light head"
    yield 0 <= network.dropout < 1, "dropout", "in [0, 1)"
    is_grid = len(network.multi_grid) in (0, 3) and all(rate >= 1 for rate in network.multi_grid)
    yield is_grid, "multi_grid", "three rates of at least 1, [1, 2, 4] in DeepLab v3, or none"


def _whole_rules(network: NetworkArguments) -> Iterator[_Rule]:
    """What networks that are published as a whole leave to choose."""
    variant, spec = network.variant, WHOLE_NETWORKS[network.variant]
    has_default_trunk = network.trunk == "vgg16"
    yield has_default_trunk, "trunk", f"left out with {variant}, which has its own trunk"
    yield _one_of(network, "geometry", spec.geometries, f" with {variant}")
    trains = "no upsampling" if "fixed" in spec.upsampling else "all of its upsampling"
    yield _one_of(network, "upsampling", spec.upsampling, f": {variant} trains {trains}")
    strides = spec.output_strides
    means = "" if strides[0] == 32 else f", for which 32 means {strides[0]} as published"
    choices = tuple(dict.fromkeys((32, *strides)))
    yield _one_of(network, "output_stride", choices, f" with {variant}{means}")
    yield spec.has_multi_grid or not network.multi_grid, "multi_grid", f"left out with {variant}"


def _trunk_head_rules(network: NetworkArguments) -> Iterator[_Rule]:
    """Which trunks a head of `TRUNK_HEADS` stands on, and what it leaves to choose."""
    variant, spec = network.variant, TRUNK_HEADS[network.variant]
    with_variant = f" with {variant}"
    yield _one_of(network, "trunk", trunks_of(variant), with_variant)
    with_trunk = f" with trunk={network.trunk}"
    yield TRUNKS[network.trunk].has_width or network.width == 1, "width", f"1{with_trunk}"
    yield _one_of(network, "geometry", ("same",), with_variant)
    yield _one_of(network, "upsampling", spec.upsampling, with_variant)
    strides = tuple(dict.fromkeys((32, spec.output_stride)))
    means = "" if len(strides) == 1 else f", for which 32 means {spec.output_stride}"
    yield _one_of(network, "output_stride", strides, f"{with_variant}{means}")
    yield not network.multi_grid, "multi_grid", f"left out with {variant}"


def trunks_of(variant: str) -> list[str]:
    """The trunks that a variant of `TRUNK_HEADS` can stand on."""
    takes_levels = TRUNK_HEADS[variant].takes_levels
    return [
        name
        for name, trunk in TRUNKS.items()
        if (trunk.levels if takes_levels else trunk.is_dilated_from)
    ]


def _trunk_rules(network: NetworkArguments) -> Iterator[_Rule]:
    """What the trunk supports, and which of the other arguments exclude each other."""
    trunk = TRUNKS[network.trunk]
    with_trunk = f" with trunk={network.trunk}"
    yield _one_of(network, "variant", trunk.variants, with_trunk)
    yield _one_of(network, "geometry", trunk.geometries, with_trunk)
    yield trunk.has_width or network.width == 1, "width", f"1{with_trunk}"
    allowed = f"left out with {network.variant}: torchvision's ResNets have it"
    yield not network.multi_grid, "multi_grid", allowed
    is_caffe = network.geometry == "caffe"
    # AlexNet's fc6 is 6 x 6, whichever fc6_kernel is given.
    has_published_fc6 = network.fc6_kernel == 7 or trunk.build != "vgg"
    allowed = "7 with geometry=caffe, whose crops need it"
    yield has_published_fc6 or not is_caffe, "fc6_kernel", allowed
    is_nonlinear = network.upsampling == "nonlinear"
    if network.output_stride != 32:
        yield _one_of(network, "output_stride", trunk.output_strides, with_trunk)
        fits = network.variant == "fcn32s" and not is_caffe and not is_nonlinear
        allowed = (
            "32, unless variant=fcn32s, geometry=same and upsampling is fixed, learned or "
            "learned_all"
        )
        yield fits, "output_stride", allowed
    allowed = (
        "fixed, learned or learned_all with geometry=caffe, whose crops do not fit nonlinear "
        "upsampling"
    )
    yield not (is_nonlinear and is_caffe), "upsampling", allowed


def _one_of(
    network: NetworkArguments,
    key: str,
    choices: Collection[str] | Sequence[int],
    because: str = "",
) -> _Rule:
    allowed = f"one of {', '.join(map(str, choices))}{because}"
    return getattr(network, key) in choices, key, allowed
