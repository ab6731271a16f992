"""FCN-32s, FCN-16s and FCN-8s: trunk, scores, fusion with finer layers, upsampling.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
Segmentation", CVPR 2015; layer names as the authors published them. Maps are
(N, H, W, C), and H/8 means ceil(H / 8).
"""

from collections import namedtuple

import keras
from keras import layers

from fcn_tf.models.layers import (
    CAFFE_MEAN_BGR,
    VGG_MEAN_BGR,
    Bilinear,
    CaffePreprocessing,
    Crop,
    EdgeCell,
)
from fcn_tf.models.trunks import TRUNKS

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
    # constants are those of the authors' voc-fcn8s-atonce.
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

# The mean that is subtracted, the zeros around the preprocessed image, and the padding of
# fc6. "same" keeps every map aligned at the top left; "caffe" is the published network.
Geometry = namedtuple("Geometry", "mean_bgr pad_px fc6_padding")
GEOMETRIES = {
    "same": Geometry(VGG_MEAN_BGR, 0, "same"),
    "caffe": Geometry(CAFFE_MEAN_BGR, 100, "valid"),
}

# Which upsampling layers are trained. The paper learns all but the last (section 4.3).
UPSAMPLING = ("fixed", "learned", "learned_all")


def build_fcn(
    variant,
    num_classes=21,
    trunk="vgg16",
    width=1.0,
    head_units=4096,
    fc6_kernel=7,
    dropout=0.5,
    geometry="same",
    upsampling="learned",
    input_shape=(None, None, 3),
    class_names=None,
    palette=None,
    dtype=None,
):
    """Builds a fully convolutional network with fresh weights.

    The convolutions start from He's initialization, the score layers at zero
    and the upsampling at bilinear interpolation, so that a fresh network
    answers 0 everywhere.

    Args:
        variant: a key of `VARIANTS`: fcn32s, fcn16s, fcn8s or fcn8s_atonce.
        num_classes: int >= 2, channels of the logits.
        trunk: a key of `TRUNKS`.
        width: float >= 1/64, multiplies the filters of the trunk's convolutions.
        head_units: int > 0, filters of fc6 and fc7.
        fc6_kernel: odd int >= 1, 7 as published, or 1 for a light head.
        dropout: float in [0, 1), after fc6 and fc7, element by element.
        geometry: "same" (aligned maps, exact to the border), or "caffe" (100
            pixels of padding and the published crops, for published weights).
        upsampling: "fixed" (all bilinear for good), "learned" (all but the
            last are trained) or "learned_all".
        input_shape: (H, W, 3), None for a free side.
        class_names: `num_classes` strings that travel with the model, or None.
        palette: `num_classes` RGB triples in 0..255 that travel with it, or None.
        dtype: dtype policy, for example "mixed_bfloat16"; default Keras' own.
            Logits are float32 under each.

    Returns:
        An `FCN`: RGB images in 0..255, (N, H, W, 3), of any size to float32
        logits (N, H, W, num_classes).

    Raises:
        ValueError: an argument outside the ranges above.
    """
    return FCN(
        variant=variant,
        num_classes=num_classes,
        trunk=trunk,
        width=width,
        head_units=head_units,
        fc6_kernel=fc6_kernel,
        dropout=dropout,
        geometry=geometry,
        upsampling=upsampling,
        input_shape=input_shape,
        class_names=class_names,
        palette=palette,
        dtype=dtype,
    )


@keras.saving.register_keras_serializable("fcn_tf")
class FCN(keras.Model):
    """A functional Keras model that remembers what it was built from; see `build_fcn`.

    Attributes:
        variant, num_classes, class_names, palette: as given to `build_fcn`.
        dtype_policy_name: the policy of its layers.
    """

    def __init__(
        self,
        *,
        variant,
        num_classes,
        trunk,
        width,
        head_units,
        fc6_kernel,
        dropout,
        upsampling,
        input_shape,
        geometry="same",
        class_names=None,
        palette=None,
        dtype=None,
        name=None,
        trainable=True,
    ):
        _check_choice("variant", variant, VARIANTS)
        _check_choice("trunk", trunk, TRUNKS)
        _check_choice("geometry", geometry, GEOMETRIES)
        _check_choice("upsampling", upsampling, UPSAMPLING)
        _check(num_classes >= 2, "num_classes", num_classes, "at least 2")
        _check(width >= 1 / 64, "width", width, "at least 1/64: one filter in conv1")
        _check(head_units >= 1, "head_units", head_units, "at least 1")
        odd = fc6_kernel >= 1 and fc6_kernel % 2 == 1
        _check(odd, "fc6_kernel", fc6_kernel, "odd, 7 as published or 1")
        published = geometry != "caffe" or fc6_kernel == 7
        _check(published, "fc6_kernel", fc6_kernel, "7 with geometry='caffe', whose crops need it")
        _check(0 <= dropout < 1, "dropout", dropout, "in [0, 1)")
        for key, value in (("class_names", class_names), ("palette", palette)):
            if value is not None:
                _check(len(value) == num_classes, key, value, f"{num_classes} long (num_classes)")
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        images = keras.Input(input_shape, name="image", dtype="float32")
        endpoints = TRUNKS[trunk](
            CaffePreprocessing(GEOMETRIES[geometry].mean_bgr, name="preprocessing")(images),
            width=width,
            head_units=head_units,
            fc6_kernel=fc6_kernel,
            dropout=dropout,
            pad_px=GEOMETRIES[geometry].pad_px,
            fc6_padding=GEOMETRIES[geometry].fc6_padding,
            dtype=policy,
        )
        logits = _head(images, endpoints, VARIANTS[variant], num_classes, geometry, upsampling)
        super().__init__(images, logits, name=name or variant, trainable=trainable)
        self.variant = variant
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.palette = None if palette is None else [list(map(int, rgb)) for rgb in palette]
        self.dtype_policy_name = policy.name
        self.build_arguments = {
            "variant": variant,
            "num_classes": num_classes,
            "trunk": trunk,
            "width": width,
            "head_units": head_units,
            "fc6_kernel": fc6_kernel,
            "dropout": dropout,
            "geometry": geometry,
            "upsampling": upsampling,
            "input_shape": list(input_shape),
            "class_names": self.class_names,
            "palette": self.palette,
            "dtype": policy.name,
        }

    def get_config(self):
        return {**self.build_arguments, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def with_policy(self, dtype):
        """The same network and weights under another dtype policy.

        Args:
            dtype: a dtype policy or its name.

        Returns:
            A new `FCN` with a copy of the weights.
        """
        twin = FCN.from_config({**self.get_config(), "dtype": dtype})
        twin.set_weights(self.get_weights())
        return twin


def train_scores_only(model):
    """Freezes all but the score layers of an `FCN`: FCN-32s-fixed of the paper (table 2)."""
    for layer in model.layers:
        layer.trainable = layer.name.startswith("score_")


def _head(images, endpoints, variant, num_classes, geometry, upsampling):
    """Scores of the endpoints, fused from coarse to fine and brought to the images' size.

    All of it in float32: 21 channels cost little, and bfloat16 has no room for the
    sum of three scores. In the comments H stands for the padded height where the
    geometry is caffe.
    """
    caffe = geometry == "caffe"
    scores = _score("score_fr", endpoints["fc7"], num_classes)  # (N, H/32, W/32, C)
    for skip in variant.skips:
        endpoint = endpoints[skip.endpoint]
        if skip.scale != 1:
            name = f"scale_{skip.endpoint}"
            endpoint = layers.Rescaling(skip.scale, name=name, dtype="float32")(endpoint)
        finer = _score(skip.score, endpoint, num_classes)  # (N, H/16, W/16, C), then H/8
        learned = upsampling in ("learned", "learned_all")
        coarser = _upsample(skip.upscore, scores, 2, learned, edge=not caffe)
        if caffe:  # the coarser map is the smaller one, having lost 6 cells to fc6
            finer = _crop(skip.score, finer, coarser, skip.caffe_crop_px)
        else:
            coarser = _crop(skip.upscore, coarser, finer, _same_crop_px(2))
        scores = layers.Add(name=f"fuse_{skip.endpoint}", dtype="float32")([coarser, finer])
    learned = upsampling == "learned_all"
    logits = _upsample(variant.upscore, scores, variant.factor, learned, edge=not caffe)
    crop_px = variant.caffe_crop_px if caffe else _same_crop_px(variant.factor)
    return _crop(variant.upscore, logits, images, crop_px)  # (N, H, W, C)


def _score(name, features, num_classes):
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name=name, dtype="float32")(
        features
    )


def _upsample(name, scores, factor, learned, edge):
    """Bilinear upsampling of (N, h, w, C) scores, with or without a cell repeated all around."""
    if edge:
        scores = EdgeCell(name=f"{name}_edge", dtype="float32")(scores)
    return layers.Conv2DTranspose(
        scores.shape[-1],
        2 * factor,
        strides=factor,
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=learned,
        name=name,
        dtype="float32",
    )(scores)


def _same_crop_px(factor):
    """What an upsampled map loses at the top and the left: the repeated cell and half a cell.

    The pooling windows start at the top-left corner, so the crop does too.
    """
    return factor + factor // 2


def _crop(name, scores, reference, offset_px):
    """Cuts the scores of a layer to the reference's height and width."""
    return Crop(offset_px, name=f"{name}_crop", dtype="float32")([scores, reference])


def _check_choice(key, value, choices):
    if value not in choices:
        raise ValueError(f"{key}={value!r}: choose one of {', '.join(choices)}.")


def _check(condition, key, value, allowed):
    if not condition:
        raise ValueError(f"{key}={value!r}: it must be {allowed}.")
