"""What networks there are: variants, trunks, geometries, and what goes together.

Tables without Keras, so that a configuration is checked before anything is loaded;
`fcn_tf.models` builds what they say.
"""

import math
from collections import namedtuple
from dataclasses import dataclass, field

from fcn_tf.errors import check

# A skip joins a finer endpoint: the layer that scores it, the layer that brings the
# coarser scores to its size, the factor on the endpoint before it is scored, and, in the
# caffe geometry, the rows and columns that its scores lose at the top and the left.
Skip = namedtuple("Skip", "endpoint score upscore scale caffe_crop_px")
# The skips from coarse to fine, then the name and the factor of the last upsampling, and
# what the logits lose at the top and the left in the caffe geometry.
Variant = namedtuple("Variant", "skips upscore factor caffe_crop_px")

# The caffe crops are those of the authors' networks; docs/geometry.md derives them.
VARIANTS = {
    "fcn32s": Variant((), "upscore", 32, 19),
    "fcn16s": Variant((Skip("pool4", "score_pool4", "upscore2", 1, 5),), "upscore16", 16, 27),
    "fcn8s": Variant(
        (
            Skip("pool4", "score_pool4", "upscore2", 1, 5),
            Skip("pool3", "score_pool3", "upscore_pool4", 1, 9),
        ),
        "upscore8",
        8,
        31,
    ),
    # Scaled so that the finer scores start as small as in the staged training; the
    # constants are those of the authors' voc-fcn8s-atonce, for the maps of VGG16.
    "fcn8s_atonce": Variant(
        (
            Skip("pool4", "score_pool4", "upscore2", 0.01, 5),
            Skip("pool3", "score_pool3", "upscore_pool4", 0.0001, 9),
        ),
        "upscore8",
        8,
        31,
    ),
}

# torchvision's FCNs, which bring a trunk and a head of their own: the blocks of each stage
# (He et al. 2016, table 1).
RESNETS = {"fcn_resnet50": (3, 4, 6, 3), "fcn_resnet101": (3, 4, 23, 3)}

# The mean that is subtracted, the zeros around the preprocessed image, and the padding of
# fc6. "same" keeps every map aligned at the top left; "caffe" is the published network.
Geometry = namedtuple("Geometry", "mean_bgr pad_px fc6_padding")
# Mean of ImageNet in BGR order, as keras.applications.vgg16 subtracts it.
VGG_MEAN_BGR = (103.939, 116.779, 123.68)
# The mean that the authors' networks subtract (voc_layers.py of their release), in BGR order.
CAFFE_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
GEOMETRIES = {
    "same": Geometry(VGG_MEAN_BGR, 0, "same"),
    "caffe": Geometry(CAFFE_MEAN_BGR, 100, "valid"),
}

# Which upsampling layers are trained. The paper learns all but the last (section 4.3);
# "nonlinear" puts an activation between them (section 3.3).
UPSAMPLING = ("fixed", "learned", "learned_all", "nonlinear")

OUTPUT_STRIDES = (32, 16, 8, 4, 2, 1)

# Mean and standard deviation of ImageNet's RGB in 0..255, as PyTorch's networks and
# EfficientNetV2 of Keras take them.
IMAGENET_RGB = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
FROM_MINUS_1_TO_1 = ((127.5,) * 3, (127.5,) * 3)

# Where the first cell of a map at 1/s has its centre, as a share of s - 1 px. Windows of
# 2 x 2 that begin at the corner: in the middle. Odd kernels with half of their side as
# padding: on the first pixel. TensorFlow's "same" on even sides: on the last.
MIDDLE, FIRST, LAST = 0.5, 0.0, 1.0


@dataclass(frozen=True)
class Trunk:
    """A classifier that an FCN grows from.

    Args:
        build: the function of `fcn_tf.models.trunks.BUILDERS` that builds it.
        options: what that function needs to know besides.
        classifier: keras.applications' name of the classifier that has its weights, or None.
        rgb: mean and standard deviation of each channel, RGB in 0..255; None for BGR less
            the geometry's mean.
        centre: MIDDLE, FIRST or LAST.
        variants: those that grow from it.
        geometries: those that it has.
        output_strides: those that it has with fcn32s.
        has_width: whether its convolutions come narrower.
        imagenet_widths: those of which keras.applications has ImageNet's weights.
        upscore_px: side of fcn32s's upsampling kernel; default 64.
        caffe_crop_px: what fcn32s loses in the caffe geometry; default VGG16's.
    """

    build: str
    options: dict = field(default_factory=dict)
    classifier: str | None = None
    rgb: tuple | None = None
    centre: float = MIDDLE
    variants: tuple[str, ...] = tuple(VARIANTS)
    geometries: tuple[str, ...] = ("same",)
    output_strides: tuple[int, ...] = (32,)
    has_width: bool = True
    imagenet_widths: tuple[float, ...] = (1.0,)
    upscore_px: int = 64
    caffe_crop_px: int | None = None


def _vgg(classifier, *blocks):
    return Trunk(
        "vgg",
        {"blocks": blocks},
        classifier,
        geometries=("same", "caffe"),
        output_strides=OUTPUT_STRIDES,
    )


def _application(classifier, endpoints, *, rgb, centre, keras_options=None, **kwargs):
    """A network of keras.applications, and its layers whose maps are at 1/8, 1/16 and 1/32.

    A layer None is what comes out. The options are those of its function there.
    """
    options = {
        "classifier": classifier,
        "endpoints": dict(zip(("pool3", "pool4", "fc7"), endpoints, strict=True)),
        "keras_options": keras_options or {},
    }
    return Trunk("application", options, classifier, rgb=rgb, centre=centre, **kwargs)


TRUNKS = {
    # Simonyan and Zisserman 2015, table 1, columns D and E: convolutions and filters a block.
    "vgg16": _vgg("VGG16", (2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "vgg19": _vgg("VGG19", (2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
    # The authors' voc-fcn-alexnet.
    "alexnet": Trunk(
        "alexnet",
        variants=("fcn32s",),
        geometries=("caffe",),
        upscore_px=63,
        caffe_crop_px=18,
    ),
    "googlenet": Trunk("googlenet", centre=LAST),
    "resnet50": _application(
        "ResNet50",
        ("conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        rgb=None,
        centre=FIRST,
        has_width=False,
    ),
    "mobilenetv3_large": _application(
        "MobileNetV3Large",
        ("expanded_conv_5_add", "expanded_conv_11_add", None),
        rgb=FROM_MINUS_1_TO_1,
        centre=LAST,
        keras_options={"include_preprocessing": False},
        imagenet_widths=(0.75, 1.0),
    ),
    "efficientnetv2_b0": _application(
        "EfficientNetV2B0",
        ("block3b_add", "block5e_add", "top_activation"),
        rgb=IMAGENET_RGB,
        centre=LAST,
        keras_options={"include_preprocessing": False},
        has_width=False,
    ),
}

# The arguments of `check_network` besides the variant, by the names of `build_fcn`.
NETWORK_KEYS = (
    "trunk",
    "width",
    "head_units",
    "fc6_kernel",
    "dropout",
    "geometry",
    "upsampling",
    "output_stride",
)


def check_network(
    variant,
    *,
    trunk,
    width,
    head_units,
    fc6_kernel,
    dropout,
    geometry,
    upsampling,
    output_stride,
    prefix="",
):
    """Refuses a network that there is not.

    Args:
        variant: and the others, as `build_fcn` takes them.
        prefix: of the names of all but the variant, for the message.

    Raises:
        InputError: a value is out of range or does not go with another.
    """

    def name_of(key):
        return key if key == "variant" else prefix + key

    def choose(key, value, choices, because=""):
        allowed = f"one of {', '.join(map(str, choices))}{because}"
        check(value in choices, name_of(key), value, allowed)

    choose("variant", variant, (*VARIANTS, *RESNETS))
    choose("trunk", trunk, TRUNKS)
    choose("geometry", geometry, GEOMETRIES)
    choose("upsampling", upsampling, UPSAMPLING)
    choose("output_stride", output_stride, OUTPUT_STRIDES)
    check(1 / 64 <= width < math.inf, name_of("width"), width, "at least 1/64, and finite")
    check(head_units >= 1, name_of("head_units"), head_units, "at least 1")
    odd = fc6_kernel >= 1 and fc6_kernel % 2 == 1
    check(odd, name_of("fc6_kernel"), fc6_kernel, "odd, 7 as published or 1")
    check(0 <= dropout < 1, name_of("dropout"), dropout, "in [0, 1)")
    if variant in RESNETS:
        with_it = f", which {variant} has"
        check(
            trunk == "vgg16", name_of("trunk"), trunk, f"left out with {variant}, which has its own"
        )
        choose("geometry", geometry, ("same",), with_it)
        choose("upsampling", upsampling, ("fixed", "learned"), f": {variant} trains none")
        choose("output_stride", output_stride, (32, 8), f": {variant} has 8 whichever is given")
        return
    of = TRUNKS[trunk]
    with_it = f" with trunk={trunk}"
    choose("variant", variant, of.variants, with_it)
    choose("geometry", geometry, of.geometries, with_it)
    check(of.has_width or width == 1, name_of("width"), width, f"1{with_it}")
    # AlexNet has its own, 6 x 6, whichever is given.
    published = geometry != "caffe" or fc6_kernel == 7 or of.build != "vgg"
    check(
        published, name_of("fc6_kernel"), fc6_kernel, "7 with geometry=caffe, whose crops need it"
    )
    if output_stride != 32:
        choose("output_stride", output_stride, of.output_strides, with_it)
        only = "32, or the variant fcn32s in the geometry same"
        plain = variant == "fcn32s" and geometry == "same" and upsampling != "nonlinear"
        check(
            plain,
            name_of("output_stride"),
            output_stride,
            f"{only}, whose upsampling is not nonlinear",
        )
    fits = upsampling != "nonlinear" or geometry == "same"
    check(
        fits, name_of("upsampling"), upsampling, "another with geometry=caffe, whose crops it moves"
    )
