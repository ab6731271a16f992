"""Every trunk, from training to TFLite."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.networks import (
    FROM_MINUS_1_TO_1,
    LAST,
    TRUNK_HEADS,
    TRUNKS,
    WHOLE_NETWORKS,
    application_trunk,
)
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from fcn_tf.errors import InputError
from fcn_tf.exporting.export import export
from fcn_tf.exporting.options import ExportOptions, TFLiteOptions
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models import build_fcn, load_model, load_trunk, load_vgg16
from fcn_tf.models.margin import margin_px
from fcn_tf.models.trunks.applications import build_application
from fcn_tf.training.loop import train
from tests.networks import fill, random_images, relative_difference

# Every trunk, and the variants that are published as a whole, as narrow as they can be built.
NETWORKS = {
    "vgg16": {},
    "vgg19": {},
    "alexnet": {"variant": "fcn32s", "geometry": "caffe"},
    "googlenet": {},
    "resnet50": {"width": 1.0},
    "mobilenetv3_large": {"width": 0.25},
    "efficientnetv2_b0": {"width": 1.0},
    "fcn_resnet50": {"variant": "fcn_resnet50"},
    "fcn_resnet101": {"variant": "fcn_resnet101"},
    "deeplabv3_resnet50": {"variant": "deeplabv3_resnet50"},
    "deeplabv3_resnet101": {"variant": "deeplabv3_resnet101"},
    "deeplabv3_mobilenetv3": {"variant": "deeplabv3_mobilenetv3"},
    "lraspp_mobilenetv3": {"variant": "lraspp_mobilenetv3", "width": 0.25},
    "unet": {"variant": "unet", "width": 1 / 16},
    "segnet": {"variant": "segnet"},
    "segnet_basic": {"variant": "segnet_basic"},
    "unet_on_trunk": {"variant": "unet_on_trunk", "trunk": "vgg16", "width": 1 / 16},
    "deeplabv3_on_trunk": {
        "variant": "deeplabv3_on_trunk",
        "trunk": "mobilenetv3_large",
        "width": 0.25,
    },
}
# These have more of the layers of vgg16, deeplabv3_resnet50, lraspp_mobilenetv3, segnet, alexnet
# and unet, and nothing else: resnet50 the blocks of torchvision's, with the skips of
# mobilenetv3_large; deeplabv3_on_trunk the head of deeplabv3_resnet50 on that trunk.
UNTRAINED = (
    "deeplabv3_on_trunk",
    "vgg19",
    "resnet50",
    "fcn_resnet50",
    "fcn_resnet101",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenetv3",
    "segnet_basic",
    "unet_on_trunk",
)
TRAINED = [name for name in NETWORKS if name not in UNTRAINED]
STEPS = {
    "alexnet": 30,
    "googlenet": 30,
    "efficientnetv2_b0": 80,
    "lraspp_mobilenetv3": 60,
    "unet": 60,
    "segnet": 30,
}
# After a few steps the values of SegNet's windows are so close that 8 bits move many of them.
QUANTIZE = {"segnet": ("float32",)}
LIGHT = ("vgg19", "googlenet", "alexnet")  # the others take minutes


def each(*light, of=tuple(NETWORKS)):
    """Every network, as a slow test but for those that are named."""
    return [n if n in light else pytest.param(n, marks=pytest.mark.slow) for n in of]


def arguments_of(name):
    """The variant of a network and the other arguments of `build_fcn`."""
    trunk = {"trunk": name} if name in TRUNKS else {}
    arguments = {"width": 0.125, "head_units": 64, **trunk, **NETWORKS[name]}
    return arguments.pop("variant", "fcn8s"), arguments


def build(name, num_classes=5):
    variant, arguments = arguments_of(name)
    model = build_fcn(variant, num_classes, dropout=0.25, **arguments)
    fill(model)
    return model


def test_there_is_a_test_of_each():
    assert set(NETWORKS) == {*TRUNKS, *WHOLE_NETWORKS, *TRUNK_HEADS}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_trains_saves_and_exports_at_any_size(name, few_scenes_dir, few_figures, tmp_path):
    variant, arguments = arguments_of(name)
    steps = STEPS.get(name, 120)
    config = Config(
        variant=variant,
        data=DataConfig(name="shapes", tfds_dir=few_scenes_dir, batch_size=4, crop_px=64),
        model=ModelConfig(dropout=0.0, **arguments),
        loss=LossConfig(class_weights=[0.2, 1, 1, 1, 1, 1]),
        optimizer=OptimizerConfig(learning_rate=1e-3, clip_norm=1.0),
        training=TrainingConfig(max_steps=steps, eval_every_steps=steps, log_every_steps=10),
    )
    run = train(config, tmp_path / "run")
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in logged if line["split"] == "train"]
    assert np.mean(losses[-2:]) < losses[0]
    model = load_model(run)
    unpools = name == "segnet"  # where rounding moves values, and scores with them

    quantize = QUANTIZE.get(name, ("float32", "int8"))
    tflite = TFLiteOptions(quantize=quantize, size="any", calibration_images=20)
    kinds = ExportOptions(tflite=tflite)
    written = export(run, tmp_path / "exported", config.data, kinds)  # compared, or refused
    assert written["saved_model"]["float32"]["same_label"] >= (0.999 if unpools else 0.9999)
    assert set(written["tflite"]) == set(quantize)
    saved = tf.saved_model.load(str(tmp_path / "exported/saved_model/1"))
    for size in ((1, 1), (33, 65), (100, 70)):
        image = random_images(1, *size, 3)
        expected = keras.ops.softmax(model(image, training=False))
        scores = saved.signatures["scores"](images=tf.constant(image))["scores"]
        same_label = np.mean(np.argmax(scores, -1) == np.argmax(expected, -1))
        assert same_label > 0.9 if unpools else np.allclose(scores, expected, atol=1e-4)
    for kind in quantize:
        labels = Predictor(tmp_path / f"exported/tflite/1/exported-{kind}.tflite")(image[0])
        assert labels.shape == size


@pytest.mark.parametrize("name", each(*LIGHT))
def test_tiles_equal_the_whole(name):
    model = build(name)
    image = random_images(1050, 1150, 3)
    if margin_px(model) is None:
        assert name in (
            "mobilenetv3_large",
            "efficientnetv2_b0",
            "deeplabv3_on_trunk",
            *WHOLE_NETWORKS,
        )
        with pytest.raises(InputError, match=r"of the layer (ResizeLike|Global\w+)"):
            Predictor(model, tile_px=512)
        return
    # Scale the logits, so that no score is so close to 0 or 1 that it hides a difference.
    spread = np.std(model(image[None, :96, :96], training=False))
    for layer in model.layers:
        if layer.name.startswith("score_") and layer.weights:
            layer.kernel.assign(layer.kernel * (2 / spread))
    whole = Predictor(model).scores(image)
    tiles = Predictor(model, tile_px=512).scores(image)
    assert relative_difference(tiles[None], whole[None]) < 1e-4


@pytest.mark.parametrize("name", [n for n in TRUNKS if n != "alexnet"])
def test_a_constant_score_map_stays_constant_to_the_border(name):
    model = build(name, 3)
    expected = np.zeros(3)
    for number, layer in enumerate(("score_fr", "score_pool4", "score_pool3"), start=1):
        layer = model.get_layer(layer)
        layer.kernel.assign(np.zeros(layer.kernel.shape))
        layer.bias.assign(np.array([1.0, -2.0, 0.5]) * number)
        expected += layer.bias.numpy()
    logits = model(random_images(1, 75, 101, 3), training=False).numpy()
    np.testing.assert_allclose(logits, np.broadcast_to(expected, logits.shape), rtol=1e-5)


# Where the first cells of fc7, pool4 and pool3 have their centres, in px, by hand. Windows of 2 x 2
# add half a cell of the map before: 0.5 + 1 + 2 + 4 + 8 = 15.5. Those of 3, 5 or 7 with a stride
# of 2, which "same" pads by 0, 1 or 2 at the top, add a whole one: 1 + 2 + 4 + 8 + 16 = 31.
# ResNet50 pads by half of the kernel, or has a kernel of 1, which adds nothing.
FIRST_CENTRES_PX = {
    "vgg16": (15.5, 7.5, 3.5),
    "vgg19": (15.5, 7.5, 3.5),
    "googlenet": (31, 15, 7),
    "resnet50": (0, 0, 0),
    "mobilenetv3_large": (31, 15, 7),
    "efficientnetv2_b0": (31, 15, 7),
}


def grid(model, features):
    """Where the cells of a map lie, from the layers' kernels, strides and padding.

    Returns:
        The distance of two cells and the centre of the first, in px. Sides are even throughout.
    """
    grids = {}  # by the id of a tensor
    for layer in keras.Model(model.inputs[0], features).layers:
        if isinstance(layer, keras.layers.InputLayer):
            grids[id(layer.output)] = (1, 0.0)
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        # What squeezes the whole image into one cell, in MobileNet and EfficientNet, has no grid.
        known = {grids[id(tensor)] for tensor in inputs if id(tensor) in grids}
        if known and not isinstance(layer, keras.layers.GlobalAveragePooling2D):
            (before,) = known  # the same on each branch
            grids[id(layer.output)] = grid_after(layer, *before)
    return grids[id(features)]


def grid_after(layer, step, first):
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return step, first - step * layer.padding[0][0]
    side = (getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", (1,)))[0]
    stride = getattr(layer, "strides", (1,))[0]
    reach = (side - 1) * getattr(layer, "dilation_rate", (1,))[0]
    is_padded = getattr(layer, "padding", "valid") == "same"
    above = max(reach + 1 - stride, 0) // 2 if is_padded else 0
    return step * stride, first + step * (reach / 2 - above)


def test_scores_are_placed_where_the_cells_lie():
    """Each map of scores holds the rows of its cells' centres; logits must be the pixels' rows."""
    assert {*FIRST_CENTRES_PX} == {n for n, t in TRUNKS.items() if t.geometries != ("caffe",)}
    for name, centres_px in FIRST_CENTRES_PX.items():
        grids = list(zip((32, 16, 8), centres_px, strict=True))
        place_scores(name, grids, "fcn8s", "learned")
        place_scores(name, grids, "fcn32s", "nonlinear")


@pytest.mark.parametrize("output_stride", [16, 8, 4, 2, 1])
def test_dense_scores_are_placed_where_the_cells_lie(output_stride):
    """The first cell has the same centre as at 1/32: 15.5 px, which lies between two pixels."""
    tolerance_px = 0.5 if output_stride == 1 else 1e-3
    grids = [(output_stride, 15.5)]
    place_scores("vgg16", grids, "fcn32s", "learned", output_stride, tolerance_px)


def place_scores(name, grids, variant, upsampling, output_stride=32, tolerance_px=1e-3):
    model = build_fcn(
        variant,
        2,
        name,
        width=0.125 if TRUNKS[name].has_width else 1.0,
        head_units=8,
        upsampling=upsampling,
        output_stride=output_stride,
    )
    scores = ["score_fr", "score_pool4", "score_pool3"][: 3 if variant == "fcn8s" else 1]
    for score, expected in zip(scores, grids, strict=False):
        assert grid(model, model.get_layer(score).input) == expected, f"{name} {score}"
    given = [model.get_layer(score).output for score in scores]
    head = keras.Model([model.inputs[0], *given], model.output)
    image = np.zeros((1, 320, 64, 3), np.float32)
    for score in scores:
        maps = []
        for other, (stride, first_px) in zip(scores, grids, strict=False):
            centres = first_px + stride * np.arange(320 // stride)
            column = centres * (other == score)
            maps.append(np.tile(column[None, :, None, None], (1, 1, 64 // stride, 2)))
        logits = head([image, *(one.astype("float32") for one in maps)]).numpy()[0, :, 20, 0]
        inside = np.arange(64, 256)
        np.testing.assert_allclose(
            logits[inside], inside, rtol=0, atol=tolerance_px, err_msg=f"{name} {score}"
        )


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv3_large", "efficientnetv2_b0"])
def test_features_are_those_of_keras_applications(name, tmp_path):
    """Weights of Keras' own network move by name; its maps then equal the FCN's.

    Those that are scored are the outputs of the last block at 1/8 and at 1/16, and the last map.
    """
    model = build(name)
    width = model.build_arguments["width"]
    images = keras.Input((96, 128, 3))
    options = {} if name == "resnet50" else {"include_preprocessing": False}
    classifier = {
        "resnet50": "ResNet50",
        "mobilenetv3_large": "MobileNetV3Large",
        "efficientnetv2_b0": "EfficientNetV2B0",
    }[name]
    features = build_application(classifier, width, input_tensor=images, **options)
    blocks = [la.output for la in features.layers if la.name.endswith(("_out", "_add"))]
    endpoints = {
        "score_pool3": [block for block in blocks if block.shape[1:3] == (96 / 8, 128 / 8)][-1],
        "score_pool4": [block for block in blocks if block.shape[1:3] == (96 / 16, 128 / 16)][-1],
        "score_fr": features.output,
    }
    classifier = keras.Model(images, features.output)
    fill(classifier, seed=1)
    classifier.save(tmp_path / "classifier.keras")
    transfer = load_trunk(model, tmp_path / "classifier.keras")
    assert len(transfer.moved) == len(classifier.weights)
    assert all(tensor.startswith(("score", "upscore")) for tensor in transfer.kept)

    # Both sides are filled up with zeros to multiples of 32.
    image = random_images(1, 75, 101, 3)
    pixels = keras.Model(model.inputs[0], model.get_layer("preprocessing").output)(image)
    # The preprocess_input of EfficientNetV2 and MobileNetV3 does nothing. These functions compute
    # what their preprocessing layers do.
    preprocess = {
        "resnet50": keras.applications.resnet.preprocess_input,
        "mobilenetv3_large": keras.applications.mobilenet_v2.preprocess_input,
        "efficientnetv2_b0": keras.applications.densenet.preprocess_input,
    }[name]
    by_hand = preprocess(image.astype("float32"))
    assert relative_difference(pixels, by_hand) < 1e-5
    pixels = np.pad(pixels.numpy(), ((0, 0), (0, 96 - 75), (0, 128 - 101), (0, 0)))
    for score, endpoint in endpoints.items():
        ours = keras.Model(model.inputs[0], model.get_layer(score).input)(image, training=False)
        theirs = keras.Model(images, endpoint)(pixels, training=False).numpy()
        assert theirs.std() > 0  # some channels are 0 after the ReLU
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()

    normalizations = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in normalizations} == {0.9}
    dropout = model.get_layer("drop7")
    assert (dropout.rate, dropout.output) == (0.25, model.get_layer("score_fr").input)


def test_a_network_of_keras_applications_computes_in_the_precision(monkeypatch):
    options = {"pool3": None, "pool4": None, "fc7": None, "rgb": FROM_MINUS_1_TO_1, "centre": LAST}
    monkeypatch.setitem(TRUNKS, "mobilenet_v1", application_trunk("MobileNet", **options))
    arguments = {"trunk": "mobilenet_v1", "width": 1 / 16}
    model = build_fcn("fcn32s", 2, dtype="mixed_bfloat16", **arguments)
    assert model.get_layer("conv_pw_9").compute_dtype == "bfloat16"
    assert model.get_layer("drop7").compute_dtype == "bfloat16"
    assert model.get_layer("preprocessing").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "name", ["alexnet", "googlenet", "fcn_resnet50", "lraspp_mobilenetv3", "unet", "segnet"]
)
def test_every_layer_before_the_scores_computes_in_the_precision(name):
    variant, arguments = arguments_of(name)
    model = build_fcn(variant, 2, dtype="mixed_bfloat16", **arguments)
    for layer in model.layers[model.layers.index(model.get_layer("preprocessing")) + 1 :]:
        is_float32 = layer.name.startswith(("score", "upscore", "fuse", "resize"))
        is_float32 |= name == "googlenet" and layer.name == "pad"  # on pixels
        assert layer.compute_dtype == ("float32" if is_float32 else "bfloat16"), layer.name
    if name == "fcn_resnet50":  # of the classic trunks tests/models/test_fcn.py says the same
        kernel = model.get_layer("backbone_layer3_1_conv2").kernel.numpy()
        assert kernel.std() == pytest.approx((2 / (3 * 3 * 32)) ** 0.5, rel=0.04)
        assert not model.get_layer("score_fr").kernel.numpy().any()
        assert model.build_arguments["output_stride"] == 8  # whichever is given


def googlenet_maps(w, images):
    """The maps of modules 3b, 4e and 5b in TensorFlow alone, after Szegedy et al., figure 3."""

    def conv(x, name, strides=1):
        kernel, bias = w[name]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, strides, "SAME") + bias)

    def pool(x, strides=2):
        return tf.nn.max_pool2d(x, 3, strides, "SAME")

    def normalize(x):
        return tf.nn.local_response_normalization(x, 2, bias=1.0, alpha=1e-4 / 5, beta=0.75)

    def module(x, name):
        branches = [
            conv(x, f"{name}_1x1"),
            conv(conv(x, f"{name}_3x3_reduce"), f"{name}_3x3"),
            conv(conv(x, f"{name}_5x5_reduce"), f"{name}_5x5"),
            conv(pool(x, strides=1), f"{name}_pool_proj"),
        ]
        return tf.concat(branches, axis=-1)

    x = tf.cast(images, tf.float32)[..., ::-1] - [103.939, 116.779, 123.68]
    x = tf.pad(x, [[0, 0], [0, -x.shape[1] % 32], [0, -x.shape[2] % 32], [0, 0]])
    x = normalize(pool(conv(x, "conv1_7x7_s2", strides=2)))
    x = pool(normalize(conv(conv(x, "conv2_3x3_reduce"), "conv2_3x3")))
    maps = []
    for modules in ("ab", "abcde", "ab"):
        x = pool(x) if maps else x
        for letter in modules:
            x = module(x, f"inception_{len(maps) + 3}{letter}")
        maps.append(x)
    return maps


def test_googlenet_is_the_published_one():
    """With the 6,998,552 parameters of its Caffe release, less the 1,025,000 of the classifier."""
    model = build_fcn("fcn8s", 2, "googlenet", dropout=0.25)
    of_trunk = [layer for layer in model.layers if layer.name.startswith(("conv", "incep"))]
    assert sum(layer.count_params() for layer in of_trunk) == 6_998_552 - 1_025_000
    fill(model)
    image = random_images(1, 45, 70, 3)
    weights = {layer.name: layer.get_weights() for layer in of_trunk}
    for score, expected in zip(
        ("score_pool3", "score_pool4", "score_fr"), googlenet_maps(weights, image), strict=True
    ):
        found = keras.Model(model.inputs[0], model.get_layer(score).input)(image, training=False)
        assert np.std(expected) > 0
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max(), score
    dropout = model.get_layer("drop7")
    assert (dropout.rate, dropout.output) == (0.25, model.get_layer("score_fr").input)


def test_a_file_of_another_classifier_is_refused(tmp_path):
    model = build("googlenet")
    with pytest.raises(InputError, match="fcn8s on googlenet grows from no classifier"):
        load_trunk(model, "imagenet")
    for load in (load_trunk, load_vgg16):
        with pytest.raises(InputError, match="fcn_resnet50 grows from no classifier"):
            load(build("fcn_resnet50"), "imagenet")
    with pytest.raises(InputError, match=r"trunk=googlenet: Keras has no such classifier"):
        Config(model=ModelConfig(trunk="googlenet", weights="imagenet"))
    classifier = keras.applications.MobileNetV3Small(weights=None, include_top=False)
    classifier.save(tmp_path / "small.keras")
    with pytest.raises(InputError, match=r"has no layer|does not fit the network"):
        load_trunk(build("mobilenetv3_large"), tmp_path / "small.keras")
    with pytest.raises(InputError, match="no such file"):
        load_trunk(build("mobilenetv3_large"), tmp_path / "none.h5")


def test_keras_own_file_goes_by_the_order_of_its_layers(tmp_path):
    """keras.applications publishes files with the old names of its layers."""
    import h5py

    classifier = keras.applications.MobileNetV3Large(
        weights=None, include_top=False, alpha=0.25, include_preprocessing=False
    )
    fill(classifier)
    classifier.save_weights(tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        names = []
        for number, layer in enumerate(layer for layer in classifier.layers if layer.weights):
            group = file.create_group(f"old_{number}")
            parts = [f"old_{number}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [part.encode() for part in parts]
            for part, weight in zip(parts, layer.weights, strict=True):
                group.create_dataset(part, data=weight.numpy())
            names.append(f"old_{number}".encode())
        file.attrs["layer_names"] = names
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.4.0"
    model = build("mobilenetv3_large")
    load_trunk(model, tmp_path / "w.h5")
    for layer in classifier.layers:
        for mine, theirs in zip(
            model.get_layer(layer.name).weights if layer.weights else (), layer.weights, strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_batch_normalization_stays_while_scores_alone_are_trained():
    """Otherwise a step takes a tenth of the batch's mean."""
    from fcn_tf.models import train_scores_only

    model = build("fcn_resnet50")
    images = random_images(2, 64, 64, 3)
    normalization = model.get_layer("backbone_bn1")
    before = normalization.moving_mean.numpy()
    seen = keras.Model(model.inputs[0], normalization.input)(images).numpy()
    model(images, training=True)
    after = normalization.moving_mean.numpy()
    np.testing.assert_allclose(
        after, 0.9 * before + 0.1 * seen.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    train_scores_only(model)
    model(images, training=True)
    np.testing.assert_array_equal(normalization.moving_mean, after)
    dropout = model.get_layer("classifier_3")
    assert (dropout.rate, dropout.output) == (0.25, model.get_layer("score_fr").input)


BEHIND_DROPOUT = {"deeplabv3_mobilenetv3": "classifier_1", "lraspp_mobilenetv3": "score_high"}


@pytest.mark.parametrize("name", BEHIND_DROPOUT)
def test_torchvisions_heads_drop_what_is_asked(name):
    """Behind the features that the scores are made of."""
    variant, arguments = arguments_of(name)
    model = build_fcn(variant, 2, dropout=0.25, **{**arguments, "width": 1 / 16})
    (dropout,) = [one for one in model.layers if isinstance(one, keras.layers.Dropout)]
    assert dropout.rate == 0.25
    behind = [one for one in model.layers if one.input is dropout.output]
    assert [one.name for one in behind] == [BEHIND_DROPOUT[name]]
