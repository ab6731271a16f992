"""The command line made from a dataclass, and the data that it names; without TensorFlow."""

import re

import pytest

from fcn_tf.commands.evaluate import EvaluateOptions
from fcn_tf.commands.heatmap import HeatmapOptions
from fcn_tf.commands.options import command, first_sentence, value_of, with_runner_options
from fcn_tf.commands.predict import PredictOptions
from fcn_tf.config.schema import DataConfig
from fcn_tf.config.types import Names, Scales, Shard
from fcn_tf.errors import InputError


def given(options, *arguments):
    """The options that a command's function gets."""
    seen = []
    arguments = list(arguments)
    made = command(options, seen.append)
    parser = made.make_parser(arguments)
    made.run(parser.parse_args(arguments), parser, arguments)
    (options,) = seen
    return options


def help_of(options):
    text = command(options, print).make_parser([]).format_help()
    return " ".join(text.split())


def test_every_option_of_evaluate_arrives():
    arguments = ("--model=a", "--tile_px=64", "--flip", "--scales=0.5,1", "--split=test")
    options = given(EvaluateOptions, *arguments, "--out=o", "--compare=b")
    assert options == EvaluateOptions(
        model="a",
        tile_px=64,
        flip=True,
        scales=Scales((0.5, 1.0)),
        split="test",
        out="o",
        compare="b",
    )
    assert type(options.scales) is Scales
    plain = given(EvaluateOptions, "--model=a")
    assert (plain.split, plain.scales, plain.flip, plain.tile_px) == ("val", (1.0,), False, None)
    assert plain.data is plain.config is plain.out is plain.compare is None


def test_a_name_that_is_cut_short_is_no_option():
    with pytest.raises(Exception, match="comp"):
        given(EvaluateOptions, "--model=a", "--comp=b")


def test_every_option_of_files_arrives():
    options = given(
        PredictOptions,
        *("a.png", "b.png", "--model=m", "--out=o", "--format=npy, png"),
        *("--opacity=0.25", "--overwrite"),
    )
    assert list(options.images) == ["a.png", "b.png"]
    assert (options.out, options.opacity, options.overwrite) == ("o", 0.25, True)
    assert (options.format, type(options.format)) == (("npy", "png"), Names)
    plain = given(PredictOptions, "a.png", "--model=m", "--out=o")
    assert (plain.format, plain.opacity, plain.overwrite) == (("png", "overlay"), 0.5, False)


@pytest.mark.parametrize("opacity", [0, 1])
def test_an_opacity_is_a_share(opacity):
    PredictOptions(model="m", images=("a.png",), out="o", opacity=opacity)
    beyond = 1.5 * opacity - 0.25  # -0.25 or 1.25
    with pytest.raises(InputError, match=rf"^opacity={beyond}: it must be between 0 and 1\.$"):
        PredictOptions(model="m", images=("a.png",), out="o", opacity=beyond)


def test_every_option_of_heatmap_arrives():
    arguments = ("cat.jpg", "--classes=tabby, tiger cat", "--out=o.png")
    assert given(HeatmapOptions, *arguments) == HeatmapOptions(
        image="cat.jpg", classes=Names(("tabby", "tiger cat")), out="o.png", model="vgg16"
    )
    options = ("--model=m.keras", "--preprocessing=tf", "--class_names=n.txt", "--weights=w.h5")
    assert given(HeatmapOptions, *arguments, *options) == HeatmapOptions(
        image="cat.jpg",
        classes="tabby,tiger cat",
        out="o.png",
        model="m.keras",
        preprocessing="tf",
        class_names="n.txt",
        weights="w.h5",
    )


def test_help_says_of_each_option_what_the_dataclass_says_of_it():
    text = help_of(EvaluateOptions)
    assert "--compare COMPARE another model, whose scores are shown beside." in text
    assert "--flip average with the mirrored image." in text
    # The command's own words stand in place of those of the class that it derives from.
    assert "--config CONFIG names the data; default the run's own config.yaml." in text
    assert "that names the data." not in text
    assert text.index("--model MODEL a run folder") < text.index("--config CONFIG names")
    assert "image an image, larger than the classifier's." in help_of(HeatmapOptions)


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A run folder with its config.yaml, and another recipe beside it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "of_run").mkdir()
    monkeypatch.chdir(tmp_path)
    run, other = tmp_path / "run/config.yaml", tmp_path / "other.yaml"
    run.write_text("data: {data_dir: of_run, ignore_label: 7, color: 0.5}\n")
    other.write_text("data: {data_dir: of_other, ignore_label: 8}\n")
    return f"--model={run.parent}", f"--config={other}"


def test_data_are_those_of_the_run_where_none_are_named(recipes):
    of_run, _ = recipes
    options = given(EvaluateOptions, of_run)
    assert options.data is None
    assert options.named_data() is None
    expected = DataConfig(name="folder", data_dir="of_run", ignore_label=7, color=0.5)
    assert options.data_or_runs() == expected
    assert given(EvaluateOptions, "--model=nowhere").data_or_runs() is None


def test_data_of_a_run_that_are_not_there_are_named(recipes, tmp_path, monkeypatch):
    """A relative folder is looked for from the current one."""
    of_run, _ = recipes
    monkeypatch.chdir(tmp_path / "run")
    options = given(EvaluateOptions, of_run)
    message = (
        f"{tmp_path}/run/config.yaml says data_dir: of_run, and no such folder is there, seen from "
        f"{tmp_path}/run: say where the images are, with --data.data_dir."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        options.data_or_runs()
    elsewhere = given(EvaluateOptions, of_run, "--data.data_dir=../of_run")
    assert elsewhere.data_or_runs().data_dir == "../of_run"


def test_a_recipe_goes_before_the_run(recipes):
    of_run, of_other = recipes
    expected = DataConfig(name="folder", data_dir="of_other", ignore_label=8)
    assert given(EvaluateOptions, of_run, of_other).data_or_runs() == expected
    # The same call in Python.
    run, other = (argument.split("=")[1] for argument in recipes)
    assert EvaluateOptions(model=run, config=other).data_or_runs() == expected
    assert EvaluateOptions(model=run, config=other).named_data() == expected


def test_keys_of_the_data_go_over_the_recipe_or_over_the_run(recipes):
    of_run, of_other = recipes
    assert given(EvaluateOptions, of_run, "--data.ignore_label=9").data_or_runs() == DataConfig(
        name="folder", data_dir="of_run", ignore_label=9, color=0.5
    )
    both = given(EvaluateOptions, of_run, of_other, "--data.ignore_label=9")
    assert both.data_or_runs() == DataConfig(name="folder", data_dir="of_other", ignore_label=9)
    alone = given(EvaluateOptions, "--model=nowhere", "--data.data_dir=there")
    assert alone.data_or_runs() == DataConfig(name="folder", data_dir="there")


def test_a_folder_takes_the_place_of_the_data_set_of_a_run(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "data: {name: voc, tfds_config: fcn2015, tfds_dir: there, manual_dir: here, color: 0.5}"
    )
    options = given(EvaluateOptions, f"--model={tmp_path}", "--data.data_dir=street")
    assert options.data_or_runs() == DataConfig(name="folder", data_dir="street", color=0.5)
    # A recipe that is named stays what it says.
    recipe = f"--config={tmp_path}/config.yaml"
    wrong = given(EvaluateOptions, "--model=nowhere", recipe, "--data.data_dir=street")
    with pytest.raises(InputError, match=r"with data\.name=voc"):
        wrong.data_or_runs()


def test_data_are_checked_and_their_defaults_filled_in():
    options = EvaluateOptions(model="m", data=DataConfig(data_dir="there"))
    assert options.named_data().name == "folder"
    wrong = EvaluateOptions(model="m", data=DataConfig(name="shapes", data_dir="there"))
    with pytest.raises(InputError, match=r"data\.data_dir='there': it must be left out"):
        wrong.named_data()


def test_a_value_is_found_before_anything_is_parsed():
    arguments = ["--model", "a", "--config=b", "--model=c", "--models=d", "--out", "--config"]
    assert value_of("--model", arguments) == "c"
    assert value_of("--model", arguments[:2]) == "a"
    assert value_of("--config", arguments) == ""  # the last one has no value behind it
    assert value_of("--split", arguments) is None


def test_a_command_is_described_by_the_first_line_of_its_function():
    def function(options):
        """Do this.

        And that.
        """

    assert first_sentence(function) == "Do this."
    assert command(EvaluateOptions, function).description == "Do this."


def test_scales_and_names_are_spelled_alike_in_python():
    options = PredictOptions(
        model="m", images=("a.png",), out="o", format=["npy"], scales="0.5,1", opacity=1
    )
    assert (options.scales, type(options.scales)) == ((0.5, 1.0), Scales)
    assert (options.format, type(options.format)) == (("npy",), Names)


@pytest.fixture
def with_beam(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: module)


def test_what_stands_behind_two_hyphens_are_options_of_the_runner(with_beam):
    arguments = ["--model=m", "--out=o", "--runner=direct", "--input=i*", "--batch_size=3"]
    behind = ["--direct_num_workers", "2", "--a=b, c"]
    prepared = with_runner_options([*arguments, "--", *behind])
    options = given(PredictOptions, *prepared)
    assert (options.runner, options.input, options.batch_size) == ("direct", "i*", 3)
    assert list(options.runner_options) == behind
    assert given(PredictOptions, *with_runner_options(arguments)).runner_options == ()
    # Without a runner these are files whose names begin with a hyphen.
    files = ["--model=m", "--out=o", "--", "-a.png"]
    assert with_runner_options(files) == files


def test_images_are_named_in_the_way_of_the_work(with_beam, monkeypatch):
    on_runner = {"runner": "direct", "input": "i"}
    for message, changes in {
        r"^images='': it must be files, folders": {},
        "^input='i': it must be given with a --runner": {"images": ("a",), "input": "i"},
        "^runner_options=": {"images": ("a",), "runner_options": ("--x",)},
        "^images='a b': it must be named by --input": {**on_runner, "images": ("a", "b")},
        "^input=None: it must be a file": {"runner": "direct"},
        "^runner='storm': it must be one of direct, dataflow": {"runner": "storm", "input": "i"},
        "^shard='0/2': it must be left out": {**on_runner, "shard": Shard((0, 2))},
        "^label_frames=True": {**on_runner, "label_frames": True},
        "^format='png,coco': it must be others": {**on_runner, "format": "png,coco"},
    }.items():
        with pytest.raises(InputError, match=message):
            PredictOptions(model="m", out="o", **changes)
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"pip install -c constraints-beam.txt 'fcn_tf\[beam\]'"):
        PredictOptions(model="m", out="o", **on_runner)
