"""Recipes read, overridden, refused and written; without TensorFlow."""

import pytest
import yaml

from fcn_tf.config.export_record import ExportRecord
from fcn_tf.config.files import (
    config_dir,
    dump_config,
    find_config,
    load_config,
    recipe_name,
    run_config,
    with_absolute_paths,
)
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
)
from fcn_tf.errors import InputError


@pytest.mark.parametrize("path", sorted(config_dir().rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_is_read_and_written_alike(path, tmp_path):
    overrides = {}
    if yaml.safe_load(path.read_text())["data"]["name"] == "folder":
        overrides["data.data_dir"] = "/somewhere"
    config = load_config(path, **overrides)
    again = tmp_path / "config.yaml"
    again.write_text(dump_config(config, "1.2.3"))
    assert load_config(again) == config


@pytest.mark.parametrize("path", sorted(config_dir().rglob("*.yaml")), ids=lambda p: p.stem)
def test_a_recipe_says_its_command_time_and_figures(path):
    head = path.read_text().split("\nvariant:")[0]
    for wanted in ("Command:", "Time:", "Expected:", "Sources:"):
        assert f"# {wanted}" in head


def test_overrides_go_over_the_file_and_the_rest_stays():
    base = load_config("shapes")
    config = load_config("shapes", **{"training.max_steps": 7, "data.crop_px": [3, 4]})
    assert config.training.max_steps == 7
    assert config.data.crop_px == (3, 4)
    assert config.optimizer == base.optimizer


def test_the_data_is_known_by_its_folder():
    assert Config().data.name == "shapes"
    assert Config(data=DataConfig(data_dir="/somewhere")).data.name == "folder"


REFUSED = {
    "variant": ("fcn4s", ["variant", "fcn8s", "Got value: fcn4s"]),
    "max_steps": (3, ["max_steps is not known. Did you mean training.max_steps or "]),
    "training.max_stps": (3, ["max_stps", "training.max_steps"]),
    "training.max_steps": (0, ["training.max_steps=0", "at least 1"]),
    "data.crop_px": ("wide", ["data.crop_px", "'wide': a size is HEIGHTxWIDTH"]),
    "data.scale_range": ([2.0, 0.5], ["data.scale_range=[2.0, 0.5]", "low <= high"]),
    "data.batch_size": (1.5, ["data.batch_size", "int", "1.5"]),
    "data.color": (1.0, ["data.color=1.0", "below 1"]),
    "data.data_dir": ("/somewhere", ["data.data_dir", "left out with data.name=shapes"]),
    "data.class_names": (["a", "b"], ["data.class_names", "left out with data.name=shapes"]),
    "data.ignore_label": (300, ["data.ignore_label=300", "between 0 and 255"]),
    "data.name": ("folder", ["data.data_dir=None", "the folder of your images"]),
    "model.width": (0.01, ["model.width=0.01", "at least 1/64"]),
    "model.fc6_kernel": (2, ["model.fc6_kernel=2", "odd"]),
    "model.geometry": ("full", ["model.geometry", "'same'", "'caffe'"]),
    "model.trainable": ("score", ["model.trainable='score'", "or init_from"]),
    "model.dropout": (1.0, ["model.dropout=1.0"]),
    "loss.class_weights": ([1.0, -1.0], ["loss.class_weights=[1.0, -1.0]", "0 or above"]),
    "optimizer.learning_rate": (0.0, ["optimizer.learning_rate=0.0", "above 0"]),
    "optimizer.bias_multiplier": (2.0, ["optimizer.bias_multiplier=2.0", "1 with adamw"]),
    "optimizer.ema": (1.0, ["optimizer.ema=1.0"]),
    "seed": (-1, ["seed=-1", "between 0 and"]),
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_refused_is_named_with_what_is_allowed(key):
    value, parts = REFUSED[key]
    with pytest.raises(InputError) as error:
        load_config("shapes", **{key: value})
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InputError, match=r"model.weights='imagenet': .*init_from"):
        load_config("shapes", **{"model.weights": "imagenet", "init_from": "runs/coarse"})
    with pytest.raises(InputError, match=r"learning_rate=1e-10: .* loss.reduction=mean"):
        load_config("shapes", **{"optimizer.learning_rate": 1e-10})
    with pytest.raises(InputError, match=r"model.weights_layers='convolutions': .*model.weights"):
        load_config("shapes", **{"model.weights_layers": "convolutions"})
    frozen = {"model.trainable": "score", "model.weights": "a.keras"}
    assert load_config("shapes", **frozen).model.trainable == "score"
    with pytest.raises(InputError, match=r"model.trainable='score': .*all layers"):
        load_config("shapes", **frozen, **{"model.weights_layers": "convolutions"})
    light = {"model.fc6_kernel": 1}
    with pytest.raises(InputError, match=r"fc6_kernel=1: it must be 7 with all of .*convolutions"):
        load_config("voc", **light)
    assert load_config("voc", **light, **{"model.weights_layers": "convolutions"})
    with pytest.raises(InputError, match=r"model.width=0.5: it must be 1 with .*imagenet\.$"):
        load_config("voc", **light, **{"model.width": 0.5})
    with pytest.raises(InputError, match=r"model.fc6_kernel=1: it must be 7 with geometry=caffe"):
        load_config("shapes", **{"model.geometry": "caffe", "model.fc6_kernel": 1})


@pytest.mark.parametrize(
    ("variant", "rate", "steps", "init_from"),
    [
        ("fcn32s", 1e-10, 100_000, None),
        ("fcn16s", 1e-12, 100_000, "runs/paper-fcn32s"),
        ("fcn8s", 1e-14, 100_000, "runs/paper-fcn16s"),
        ("fcn8s_atonce", 1e-10, 300_000, None),
    ],
)
def test_the_recipes_of_the_paper_hold_the_authors_numbers(variant, rate, steps, init_from):
    config = load_config(f"paper/{variant}")
    assert config.variant == variant
    assert config.init_from == init_from
    assert config.model == ModelConfig(
        geometry="caffe", upsampling="fixed", weights="none" if init_from else "imagenet"
    )
    assert config.data == DataConfig(name="voc", tfds_config="fcn2015", batch_size=1, flip=False)
    assert config.loss == LossConfig(reduction="sum")
    assert config.optimizer == OptimizerConfig(
        name="sgd",
        learning_rate=rate,
        momentum=0.99,
        weight_decay=5e-4,
        bias_multiplier=2.0,
        schedule="constant",
    )
    assert config.training.max_steps == steps
    # The published network, and nothing that the authors did without.
    model, data, loss, optimizer = config.model, config.data, config.loss, config.optimizer
    assert (model.trunk, model.width, model.head_units, model.fc6_kernel) == ("vgg16", 1, 4096, 7)
    assert (model.dropout, model.output_stride, model.trainable) == (0.5, 32, "all")
    assert model.weights_layers == "all"
    assert (data.crop_px, data.scale_range, data.color) == (None, (1, 1), 0)
    assert (loss.name, loss.class_weights, loss.sample_fraction) == ("cross_entropy", None, 1)
    assert (optimizer.clip_norm, optimizer.warmup_steps, optimizer.ema) == (None, 0, 0)
    assert (config.training.accumulate_steps, config.training.precision) == (1, "float32")


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"neither a file nor .*paper/fcn8s, .*shapes, .*voc\.$"):
        find_config("shape")


def test_a_file_of_ones_own_comes_before_a_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("shapes") == config_dir() / "shapes.yaml"
    (tmp_path / "shapes").write_text("seed: 5\n")
    assert load_config("shapes").seed == 5


def test_the_name_of_a_recipe_has_its_folder():
    assert recipe_name(config_dir() / "paper/fcn8s.yaml") == "paper/fcn8s"
    assert recipe_name("/somewhere/paper/street.yaml") == "street"


def test_what_is_written_holds_all_but_the_folder_of_the_run():
    config = load_config(
        **{"workdir": "runs/mine", "resume": "auto", "init_from": "runs/coarse", "seed": 4}
    )
    text = dump_config(config, "1.2.3")
    assert text.startswith("# fcn_tf 1.2.3\n")
    values = yaml.safe_load(text)
    assert not {"workdir", "resume"} & values.keys()
    assert (values["init_from"], values["seed"]) == ("runs/coarse", 4)


def test_paths_become_absolute_and_addresses_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    voc = {"data.name": "voc", "data.tfds_dir": "gs://bucket/tfds", "data.manual_dir": "~/archives"}
    config = with_absolute_paths(load_config(**voc, **{"model.weights": "vgg.keras"}))
    assert config.data.tfds_dir == "gs://bucket/tfds"
    assert config.data.manual_dir == "/home/me/archives"
    assert config.model.weights == f"{tmp_path}/vgg.keras"
    config = load_config(**{"data.data_dir": "../street", "data.color": 0.5, "init_from": "runs/a"})
    absolute = with_absolute_paths(config)
    assert absolute.data.data_dir == f"{tmp_path}/../street"
    assert absolute.init_from == f"{tmp_path}/runs/a"
    assert (absolute.data.color, absolute.model) == (0.5, config.model)
    for weights in ("none", "imagenet"):
        config = load_config(**{"model.weights": weights})
        assert with_absolute_paths(config) == config


def test_where_the_configuration_of_a_model_lies(tmp_path):
    """Beside it; beside the source of an export."""
    run = tmp_path / "run"
    assert run_config(run / "model.keras") == run / "config.yaml"
    exported = tmp_path / "exported"
    for version, source in ((1, "old"), (2, "run")):
        folder = exported / str(version)
        (folder / "assets").mkdir(parents=True)
        record = ExportRecord(model=str(tmp_path / source / "model.keras"))
        (folder / "export.json").write_text(record.to_json())
    (exported / "3").mkdir()  # not yet whole
    for model in (exported, exported / "2", exported / "2/exported-float32.tflite"):
        assert run_config(model) == run / "config.yaml"
    assert run_config(exported / "1") == tmp_path / "old/config.yaml"
    # A run folder is one, whatever lies around it.
    (exported / "2/model.keras").touch()
    assert run_config(exported / "2") == exported / "2/config.yaml"
    run.mkdir()
    assert run_config(run) == run / "config.yaml"


def test_a_broken_file_is_refused(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("data: [\n")
    with pytest.raises(InputError, match="parsing"):
        load_config(path)
