"""FCN-32s, FCN-16s and FCN-8s: trunk, scores, fusion with finer layers, upsampling.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
Segmentation", CVPR 2015; layer names as the authors published them. Maps are
(N, H, W, C), and H/8 means ceil(H / 8).
"""

import keras

from fcn_tf.errors import check
from fcn_tf.models.fcn_resnet import fcn_resnet
from fcn_tf.models.head import Head
from fcn_tf.models.layers import CaffePreprocessing, Standardization
from fcn_tf.models.trunks import BUILDERS, Arguments
from fcn_tf.networks import (
    GEOMETRIES,
    IMAGENET_RGB,
    RESNETS,
    TRUNKS,
    check_network,
)


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
    output_stride=32,
    input_shape=(None, None, 3),
    class_names=None,
    palette=None,
    dtype=None,
):
    """Builds a fully convolutional network with fresh weights.

    The convolutions start from He's initialization (those of keras.applications as
    Keras starts them), the score layers at zero and the upsampling at bilinear
    interpolation, so that a fresh network answers 0 everywhere.

    Args:
        variant: fcn32s, fcn16s, fcn8s or fcn8s_atonce; or fcn_resnet50 or fcn_resnet101,
            torchvision's, which bring their own trunk, preprocessing and head, at 1/8.
        num_classes: int >= 2, channels of the logits.
        trunk: a key of `fcn_tf.networks.TRUNKS`.
        width: float >= 1/64, multiplies the filters of the trunk's convolutions.
        head_units: int > 0, filters of fc6 and fc7, where the trunk has them: of VGG and
            AlexNet.
        fc6_kernel: odd int >= 1, 7 as published, or 1 for a light head; of VGG.
        dropout: float in [0, 1), after fc6 and fc7 or the last map, element by element.
        geometry: "same" (aligned maps, exact to the border), or "caffe" (100
            pixels of padding and the published crops, for published weights).
        upsampling: "fixed" (all bilinear for good), "learned" (all but the
            last are trained), "learned_all", or "nonlinear": all are trained, an activation
            stands between two, and the last goes by factors of 2.
        output_stride: px between the scores of fcn32s on VGG: 32, or 16, 8, 4, 2, 1, for
            which the last pools lose their strides and what follows is dilated.
        input_shape: (H, W, 3), None for a free side.
        class_names: `num_classes` strings that travel with the model, or None.
        palette: `num_classes` RGB triples in 0..255 that travel with it, or None.
        dtype: dtype policy, for example "mixed_bfloat16"; default Keras' own.
            Logits are float32 under each.

    Returns:
        An `FCN`: RGB images in 0..255, (N, H, W, 3), of any size to float32
        logits (N, H, W, num_classes).

    Raises:
        ValueError: an argument outside the ranges above, or that does not go with another.
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
        output_stride=output_stride,
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
        output_stride=32,
        class_names=None,
        palette=None,
        dtype=None,
        name=None,
        trainable=True,
    ):
        check(num_classes >= 2, "num_classes", num_classes, "at least 2")
        is_rgb = len(input_shape) == 3 and input_shape[2] == 3
        check(is_rgb, "input_shape", input_shape, "(height, width, 3), sides None where they vary")
        network = {
            "trunk": trunk,
            "width": width,
            "head_units": head_units,
            "fc6_kernel": fc6_kernel,
            "dropout": dropout,
            "geometry": geometry,
            "upsampling": upsampling,
            "output_stride": output_stride,
        }
        check_network(variant, **network)
        if variant in RESNETS:
            network["output_stride"] = 8
        for key, value in (("class_names", class_names), ("palette", palette)):
            if value is not None:
                check(len(value) == num_classes, key, value, f"{num_classes} long (num_classes)")
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        images = keras.Input(input_shape, name="image", dtype="float32")
        if variant in RESNETS:
            pixels = Standardization(*IMAGENET_RGB, name="preprocessing")(images)
            blocks = RESNETS[variant]
            logits = fcn_resnet(images, pixels, blocks, num_classes, width, dropout, policy)
        else:
            arguments = Arguments(
                width,
                head_units,
                fc6_kernel,
                dropout,
                output_stride,
                GEOMETRIES[geometry],
                policy,
            )
            endpoints = _endpoints(images, TRUNKS[trunk], arguments)
            head = Head(variant, TRUNKS[trunk], geometry, upsampling, output_stride)
            logits = head(images, endpoints, num_classes)
        super().__init__(images, logits, name=name or variant, trainable=trainable)
        self.variant = variant
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.palette = None if palette is None else [list(map(int, rgb)) for rgb in palette]
        self.dtype_policy_name = policy.name
        self.build_arguments = {
            "variant": variant,
            "num_classes": num_classes,
            **network,
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


def _endpoints(images, trunk, arguments):
    """The trunk's maps by endpoint."""
    if trunk.rgb:
        preprocessing = Standardization(*trunk.rgb, name="preprocessing")
    else:
        preprocessing = CaffePreprocessing(arguments.geometry.mean_bgr, name="preprocessing")
    return BUILDERS[trunk.build](preprocessing(images), arguments, **trunk.options)
