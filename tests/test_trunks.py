"""Every trunk, from training to TFLite."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from fcn_tf.config.networks import RESNETS, TRUNKS
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

# Every trunk, and torchvision's variants with their own trunk, as narrow as they can be built.
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
}
# fcn_resnet101 has more of fcn_resnet50's blocks and nothing else.
TRAINED = [name for name in NETWORKS if name != "fcn_resnet101"]
# EfficientNet's int8 lies at the bar of 97 %: 96.9 after 120 steps, 95.7 after 240, both refused.
STEPS = {"vgg19": 30, "alexnet": 30, "googlenet": 30, "resnet50": 40, "efficientnetv2_b0": 60}
# ResNet50's int8 needs 240 steps to come near its float32; fcn_resnet50 has int8 of such blocks.
QUANTIZE = {"resnet50": ("float32",)}
LIGHT = ("vgg19", "googlenet", "alexnet")  # the others take minutes


def each(*light, of=tuple(NETWORKS)):
    """Every network, as a slow test but for those that are named."""
    return [n if n in light else pytest.param(n, marks=pytest.mark.slow) for n in of]


def arguments_of(name):
    """The variant of a network and the other arguments of `build_fcn`."""
    trunk = {} if name in RESNETS else {"trunk": name}
    arguments = {"width": 0.125, "head_units": 64, **trunk, **NETWORKS[name]}
    return arguments.pop("variant", "fcn8s"), arguments


def build(name, num_classes=5):
    variant, arguments = arguments_of(name)
    model = build_fcn(variant, num_classes, dropout=0.0, **arguments)
    fill(model)
    return model


def test_there_is_a_test_of_each():
    assert set(NETWORKS) == {*TRUNKS, *RESNETS}


@pytest.mark.parametrize("name", each("alexnet", of=TRAINED))
def test_trains_saves_and_exports_at_any_size(name, few_scenes_dir, tmp_path):
    variant, arguments = arguments_of(name)
    config = Config(
        variant=variant,
        data=DataConfig(name="shapes", tfds_dir=few_scenes_dir, batch_size=4, crop_px=64),
        model=ModelConfig(dropout=0.0, **arguments),
        loss=LossConfig(class_weights=[0.2, 1, 1, 1, 1, 1]),
        optimizer=OptimizerConfig(learning_rate=1e-3, clip_norm=1.0),
        training=TrainingConfig(max_steps=STEPS.get(name, 120), log_every_steps=10),
    )
    run = train(config, tmp_path / "run")
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in logged if line["split"] == "train"]
    assert np.mean(losses[-2:]) < losses[0]
    model = load_model(run)

    quantize = QUANTIZE.get(name, ("float32", "int8"))
    tflite = TFLiteOptions(quantize=quantize, calibration_images=20)
    kinds = ExportOptions(tflite=tflite)
    written = export(run, tmp_path / "exported", config.data, kinds)  # compared, or refused
    assert written["saved_model"]["float32"]["same_label"] >= 0.9999
    assert set(written["tflite"]) == set(quantize)
    saved = tf.saved_model.load(str(tmp_path / "exported/saved_model/1"))
    for size in ((1, 1), (33, 65), (100, 70)):
        image = random_images(1, *size, 3)
        expected = keras.ops.softmax(model(image, training=False))
        scores = saved.signatures["scores"](images=tf.constant(image))["scores"]
        np.testing.assert_allclose(scores, expected, atol=1e-4)
    for kind in quantize:
        labels = Predictor(tmp_path / f"exported/tflite/1/exported-{kind}.tflite")(image[0])
        assert labels.shape == size


@pytest.mark.parametrize("name", each(*LIGHT))
def test_tiles_equal_the_whole(name):
    model = build(name)
    image = random_images(1050, 1150, 3)
    if margin_px(model) is None:
        assert name in ("mobilenetv3_large", "efficientnetv2_b0", *RESNETS)
        with pytest.raises(InputError, match="what a tile needs"):
            Predictor(model, tile_px=512)
        return
    # Scale the logits, so that no score is so close to 0 or 1 that it hides a difference.
    spread = np.std(model(image[None, :96, :96], training=False))
    for layer in model.layers:
        if layer.name.startswith("score_"):
            layer.kernel.assign(layer.kernel * (2 / spread))
    whole = Predictor(model).scores(image)
    tiles = Predictor(model, tile_px=512).scores(image)
    assert relative_difference(tiles[None], whole[None]) < 1e-4


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("alexnet", *RESNETS)])
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


def test_scores_are_placed_where_the_cells_lie():
    """Each map of scores holds the rows of its cells' centres; logits must be the pixels' rows."""
    for name, trunk in TRUNKS.items():
        if trunk.geometries != ("caffe",):
            place_scores(name, trunk, "fcn8s", "learned")
            place_scores(name, trunk, "fcn32s", "nonlinear")


@pytest.mark.parametrize("output_stride", [16, 8, 4, 2, 1])
def test_dense_scores_are_placed_where_the_cells_lie(output_stride):
    """The first cell has the same centre as at 1/32: 15.5 px, which lies between two pixels."""
    tolerance_px = 0.5 if output_stride == 1 else 1e-3
    place_scores("vgg16", TRUNKS["vgg16"], "fcn32s", "learned", output_stride, tolerance_px)


def place_scores(name, trunk, variant, upsampling, output_stride=32, tolerance_px=1e-3):
    model = build_fcn(
        variant,
        2,
        name,
        width=0.125 if trunk.has_width else 1.0,
        head_units=8,
        upsampling=upsampling,
        output_stride=output_stride,
    )
    scores = ["score_fr", "score_pool4", "score_pool3"][: 3 if variant == "fcn8s" else 1]
    given = [model.get_layer(score).output for score in scores]
    head = keras.Model([model.inputs[0], *given], model.output)
    image = np.zeros((1, 320, 64, 3), np.float32)
    for score in scores:
        maps = []
        for other, stride in zip(scores, (output_stride, 16, 8), strict=False):
            first_px = trunk.centre * ((32 if other == "score_fr" else stride) - 1)
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
    """Weights of Keras' own network move by name; its maps then equal the FCN's."""
    model = build(name)
    width = model.build_arguments["width"]
    images = keras.Input((None, None, 3))
    features = build_application(
        TRUNKS[name].classifier,
        width,
        input_tensor=images,
        **TRUNKS[name].options["keras_options"],
    )
    named = TRUNKS[name].options["endpoints"]
    endpoints = {
        "score_pool3": features.get_layer(named["pool3"]).output,
        "score_pool4": features.get_layer(named["pool4"]).output,
        "score_fr": features.output,
    }
    classifier = keras.Model(images, features.output)
    fill(classifier, seed=1)
    classifier.save(tmp_path / "classifier.keras")
    transfer = load_trunk(model, tmp_path / "classifier.keras")
    assert len(transfer.moved) == len(classifier.weights)
    assert all(tensor.startswith(("score", "upscore")) for tensor in transfer.kept)

    image = random_images(1, 96, 128, 3)
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
    for score, endpoint in endpoints.items():
        ours = keras.Model(model.inputs[0], model.get_layer(score).input)(image, training=False)
        theirs = keras.Model(images, endpoint)(pixels, training=False).numpy()
        assert theirs.std() > 0  # some channels are 0 after the ReLU
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


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
    from fcn_tf.models import train_scores_only

    model = build("fcn_resnet50")
    train_scores_only(model)
    before = model.get_layer("backbone_bn1").moving_mean.numpy()
    model(random_images(2, 64, 64, 3), training=True)
    np.testing.assert_array_equal(model.get_layer("backbone_bn1").moving_mean, before)
