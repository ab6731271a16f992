"""What is allowed, up to its ends, and what follows from it; without TensorFlow."""

import pytest

from fcn_tf.config.schema import (
    Config,
    DataConfig,
    DistributionConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from fcn_tf.errors import InputError

SECTIONS = {
    "data": DataConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
    "distribution": DistributionConfig,
}
# Of each key the values at the ends of what is allowed, and the first ones outside.
ENDS = {
    "data.ignore_label": ([0, 255], [-1, 256]),
    "data.validation_fraction": ([1e-9, 0.999], [0, 1]),
    "data.batch_size": ([1], [0]),
    "data.crop_px": ([1, (1, 1)], [0, (1, 0)]),
    "data.scale_range": ([(1.0, 1.0), (0.1, 3.0)], [(0.0, 1.0), (1.1, 1.0)]),
    "data.value_range": (
        [None, (0, 4095), (-1.5, 1e-9)],
        [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)],
    ),
    "data.bands": ([None, (1, 1, 1), (4, 3, 2)], [(0, 1, 2), (1, 2), (1, 2, 3, 4)]),
    "data.color": ([0, 0.99], [-0.1, 1]),
    "data.rotate_degrees": ([0, 180], [-0.1, 180.1, float("nan")]),
    "data.flip": ([True, False, "horizontal", "vertical", "both"], ["true", "none", None]),
    "loss.sample_fraction": ([1e-9, 1], [0, 1.01]),
    "loss.class_weights": ([None, "none", [0.0, 1.0]], [[1.0, -0.1]]),
    "optimizer.learning_rate": ([1e-30], [0]),
    "optimizer.momentum": ([0, 0.999], [-0.1, 1]),
    "optimizer.ema": ([0, 0.999], [-0.1, 1]),
    "optimizer.weight_decay": ([0], [-0.1]),
    "optimizer.warmup_steps": ([0], [-1]),
    "optimizer.clip_norm": ([None, 1e-9], [0]),
    "training.max_steps": ([1], [0]),
    "training.log_every_steps": ([1], [0]),
    "training.steps_per_call": ([1], [0]),
    "training.accumulate_steps": ([1], [0]),
    "training.eval_every_steps": ([None, 1], [0]),
    "training.checkpoint_every_steps": ([None, 1], [0]),
    "training.max_minutes": ([None, 1e-6], [0]),
    "training.patience": ([None, 1], [0]),
    "training.profile_steps": ([None, (1, 1), (2, 3)], [(0, 1), (3, 2)]),
    "distribution.virtual_devices": ([None, 1], [0]),
    "distribution.timeout_seconds": ([1e-6], [0]),
}


@pytest.mark.parametrize("key", ENDS)
def test_each_range_has_the_ends_that_it_should(key):
    section, name = key.split(".")
    allowed, refused = ENDS[key]
    for value in allowed:
        SECTIONS[section](**{name: value})
    for value in refused:
        with pytest.raises(InputError, match=rf"^{key}="):
            SECTIONS[section](**{name: value})


def test_what_a_run_does_unless_it_is_told_otherwise():
    config = Config()
    assert (config.variant, config.seed, config.resume, config.init_from) == (
        *("fcn8s", 0, "never", None),
    )
    data, model, optimizer = config.data, config.model, config.optimizer
    assert (data.batch_size, data.crop_px, data.scale_range) == (4, None, (1, 1))
    assert (data.flip, data.color, data.validation_fraction) == (True, 0, 0.2)
    assert data.rotate_degrees == 0
    assert (model.geometry, model.upsampling, model.weights) == ("same", "learned", "none")
    assert (optimizer.name, optimizer.learning_rate, optimizer.schedule) == ("adamw", 1e-3, "poly")
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.bias_multiplier) == (0.9, 0, 1)
    training = config.training
    assert (training.max_steps, training.eval_every_steps) == (10_000, 1000)
    assert (training.log_every_steps, training.steps_per_call) == (50, 10)
    assert (training.max_minutes, training.profile_steps) == (None, None)
    assert training.patience is None
    assert not training.jit_compile
    assert not training.deterministic
    assert (config.distribution.strategy, config.distribution.timeout_seconds) == ("auto", 600)


def test_values_that_need_another():
    assert OptimizerConfig(name="sgd", bias_multiplier=0.0).bias_multiplier == 0
    with pytest.raises(InputError, match=r"bias_multiplier=-1.*0 or above"):
        OptimizerConfig(name="sgd", bias_multiplier=-1.0)
    assert DistributionConfig(strategy="mirrored", virtual_devices=2).virtual_devices == 2
    with pytest.raises(InputError, match=r"virtual_devices=2.*strategy=mirrored"):
        DistributionConfig(strategy="one_device", virtual_devices=2)
    assert Config(seed=2**31 - 1).seed == 2**31 - 1
    with pytest.raises(InputError, match="seed=2147483648"):
        Config(seed=2**31)
    low = OptimizerConfig(name="sgd", learning_rate=9e-10)
    with pytest.raises(InputError, match=r"learning_rate=9e-10: it must be 1e-9 or more"):
        Config(optimizer=low)
    assert Config(optimizer=low, loss=LossConfig(reduction="sum")).optimizer == low
    assert Config(optimizer=OptimizerConfig(learning_rate=1e-9))


def test_an_evaluation_comes_every_tenth_of_the_run_and_a_checkpoint_with_it():
    def periods(**given):
        training = Config(training=TrainingConfig(**given)).training
        return training.eval_every_steps, training.checkpoint_every_steps

    assert periods(max_steps=95) == (10, 10)
    assert periods(max_steps=3) == (1, 1)
    assert periods(max_steps=95, eval_every_steps=7) == (7, 7)
    assert periods(max_steps=95, checkpoint_every_steps=4) == (10, 4)
    assert periods(max_steps=95, eval_every_steps=7, checkpoint_every_steps=4) == (7, 4)


def test_the_data_set_decides_which_of_its_keys_there_are():
    assert Config().data.tfds_config is None
    assert Config(data=DataConfig(name="voc")).data.tfds_config == "voc2012"
    fcn2015 = DataConfig(name="voc", tfds_config="fcn2015", manual_dir="a", tfds_dir="b")
    assert Config(data=fcn2015).data == fcn2015
    own = {"data_dir": "a", "class_names": ["b", "c"], "ignore_label": 3}
    assert Config(data=DataConfig(**own)).data == DataConfig(name="folder", **own)
    of_tfds = {"tfds_dir": "a", "tfds_config": "voc2012", "manual_dir": "b"}
    for name, known, unknown in (
        ("shapes", {"tfds_dir": "a"}, {**own, "tfds_config": "voc2012", "manual_dir": "b"}),
        ("voc", of_tfds, {**own, "value_range": (0, 9), "bands": (3, 2, 1)}),
        ("folder", own, of_tfds),
    ):
        base = {"data_dir": "a"} if name == "folder" else {}
        for key, value in known.items():
            assert getattr(Config(data=DataConfig(name, **{**base, key: value})).data, key) == value
        for key, value in unknown.items():
            with pytest.raises(InputError, match=rf"data\.{key}=.*left out with data.name={name}"):
                Config(data=DataConfig(name, **{**base, key: value}))


@pytest.mark.parametrize(
    ("accepted", "refused", "message"),
    [
        # What keras.applications has for ImageNet.
        (
            {"trunk": "mobilenetv3_large", "width": 0.75},
            {"trunk": "mobilenetv3_large", "width": 0.5},
            r"model.width=0.5: it must be 0.75 or 1 with model.weights=imagenet",
        ),
        (
            {"weights_layers": "convolutions", "head_units": 8},
            {"head_units": 8},
            r"model.head_units=8: it must be 4096 with all of ImageNet's layers",
        ),
        ({"trunk": "resnet50"}, {"trunk": "googlenet"}, "no such classifier"),
        (
            {"trunk": "vgg19", "weights_layers": "convolutions"},
            {"trunk": "resnet50", "weights_layers": "convolutions"},
            r"weights_layers='convolutions': it must be all with trunk=resnet50",
        ),
        ({"trunk": "resnet50", "head_units": 8}, {"trunk": "vgg19", "fc6_kernel": 1}, "fc6_kernel"),
        ({"trainable": "score"}, {"trainable": "score", "weights": "none"}, "trainable='score'"),
    ],
)
def test_what_a_trunk_can_start_from(accepted, refused, message):
    assert Config(model=ModelConfig(**{"weights": "imagenet", **accepted}))
    with pytest.raises(InputError, match=message):
        Config(model=ModelConfig(**{"weights": "imagenet", **refused}))


@pytest.mark.parametrize(
    ("variant", "given", "message"),
    [
        (
            "segnet",
            {"weights_layers": "all"},
            "model.weights_layers='all': it must be convolutions",
        ),
        ("segnet", {"width": 0.5}, "model.width=0.5: it must be 1 with model.weights=imagenet"),
        ("segnet", {"trainable": "score"}, "model.trainable='score'"),
        ("segnet_basic", {}, "with segnet_basic: Keras has no such classifier"),
    ],
)
def test_segnet_starts_from_the_convolutions_of_vgg16(variant, given, message):
    start = {"weights": "imagenet", "weights_layers": "convolutions"}
    assert Config(variant="segnet", model=ModelConfig(**start)).model.weights == "imagenet"
    with pytest.raises(InputError, match=message):
        Config(variant=variant, model=ModelConfig(**{**start, **given}))


@pytest.mark.parametrize(
    ("accepted", "refused", "message"),
    [
        (
            {"weights_layers": "convolutions"},
            {},
            r"weights_layers='all': it must be convolutions with unet_on_trunk, which has no",
        ),
        (
            {"trunk": "resnet50"},
            {"trunk": "resnet50", "trainable": "score"},
            r"trainable='score': it must be all, or give init_from, with unet_on_trunk",
        ),
    ],
)
def test_a_trunk_with_another_head_starts_from_its_classifier(accepted, refused, message):
    start = {"weights": "imagenet"}
    assert Config(variant="unet_on_trunk", model=ModelConfig(**start, **accepted))
    with pytest.raises(InputError, match=message):
        Config(variant="unet_on_trunk", model=ModelConfig(**start, **refused))


@pytest.mark.parametrize(
    ("variant", "given", "message"),
    [
        ("fcn8s", {}, "0.5: it must be 0 with fcn8s: fcn_resnet50, .* have an auxiliary head"),
        ("lraspp_mobilenetv3", {}, "0.5: it must be 0 with lraspp_mobilenetv3: "),
        ("fcn_resnet50", {"auxiliary_weight": -0.1}, "-0.1: it must be 0 or above, and finite"),
        ("fcn_resnet50", {"auxiliary_weight": float("inf")}, "inf: it must be 0 or above"),
        ("fcn_resnet50", {"trainable": "score"}, "0.5: it must be 0 with model.trainable=score"),
    ],
)
def test_an_auxiliary_head_is_of_torchvisions_networks(variant, given, message):
    for accepted in ("fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_mobilenetv3"):
        Config(variant=accepted, model=ModelConfig(auxiliary_weight=0.5))
    with pytest.raises(InputError, match=f"^model.auxiliary_weight={message}"):
        Config(
            variant=variant,
            init_from="a",
            model=ModelConfig(**{"auxiliary_weight": 0.5, **given}),
        )


def test_a_file_of_weights_may_be_of_any_width():
    model = ModelConfig(width=0.5, fc6_kernel=1, head_units=8, weights="mine.keras")
    assert Config(model=model).model == model
    with pytest.raises(InputError, match="with fcn_resnet50: Keras has no such classifier"):
        Config(variant="fcn_resnet50", model=ModelConfig(weights="mine.keras"))
    assert Config(init_from="a", model=ModelConfig(trainable="score")).init_from == "a"


def test_only_a_folder_has_photos_to_turn():
    assert Config(data=DataConfig(data_dir="a", exif="ignore")).data.exif == "ignore"
    for name in ("shapes", "voc"):
        with pytest.raises(InputError, match=rf"data\.exif=.*left out with data.name={name}"):
            Config(data=DataConfig(name, exif="apply"))
