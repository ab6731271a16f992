"""`data.mask_values`: what is read, what is refused, and how a run's config.yaml has it."""

import pytest

from fcn_tf.config.files import config_parser, dump_config, explain, load_config, to_config
from fcn_tf.config.mask_values import CODINGS, MaskValues
from fcn_tf.config.schema import DataConfig
from fcn_tf.errors import InputError

PARSER = config_parser()


def parsed(*arguments):
    """The `mask_values` of a command line, and the text of its configuration."""
    try:
        config = to_config(PARSER, PARSER.parse_args(["--data.data_dir", "x", *arguments]))
    except Exception as error:
        raise InputError(explain(error, PARSER)) from error
    return config.data.mask_values, dump_config(config, "1")


READ = {
    "{0: background, 255: vessel}": ((0, "background"), (255, "vessel")),
    '{"0": background, "255": vessel}': ((0, "background"), (255, "vessel")),
    "{7: disc, 26: square}  # a guess": ((7, "disc"), (26, "square")),
    "{0: Ignore, 1: traffic light}": ((0, "ignore"), (1, "traffic light")),
    '{0: "no", 1: "7", 2: "a, b"}': ((0, "no"), (1, "7"), (2, "a, b")),
    '{"250,50,83": disc, "#000000": bg}': (((250, 50, 83), "disc"), ((0, 0, 0), "bg")),
    '{"[250, 50, 83]": disc, 7: bg}': (((250, 50, 83), "disc"), (7, "bg")),
    "cityscapes": CODINGS["cityscapes"],
}


@pytest.mark.parametrize("text", READ)
def test_a_mapping_is_read_and_comes_back_from_a_runs_configuration(text):
    values, dumped = parsed("--data.mask_values", text)
    assert values == READ[text]
    assert to_config(PARSER, PARSER.parse_string(dumped)).data.mask_values == values
    assert MaskValues.of(str(values)) == values


def test_a_mapping_stands_in_yaml_and_in_python_as_it_is(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "data:\n  data_dir: x\n  mask_values:\n    0: bg\n    250,50,83: disc\n"
    )
    expected = MaskValues(((0, "bg"), ((250, 50, 83), "disc")))
    assert load_config(tmp_path / "a.yaml").data.mask_values == expected
    assert DataConfig(mask_values={0: "bg", (250, 50, 83): "disc"}).mask_values == expected
    override = load_config(tmp_path / "a.yaml", **{"data.mask_values": {1: "a"}})
    assert override.data.mask_values == ((1, "a"),)
    assert expected.option() == """--data.mask_values '{0: bg, "250,50,83": disc}'"""


REFUSED = {
    "{0: a, 0: b}": "0 is given twice",
    '{0: a, "0": b}': "0 is given twice, as a and as b",
    '{"250,50,83": a, "#fa3253": b}': '"250,50,83" is given twice, as a and as b',
    "{}": "mask values are a mapping, '{0: background, 255: vessel}' for example",
    "city": "'city': mask values are a mapping, .* or one of cityscapes, cityscapes_train_ids, ade",
    "{0: a": "is no mapping in YAML: write",
    "{0:a, 1:b}": "mask values are a mapping",
    "{#fa3253: a}": 'colours in quotes, "250,50,83" or "#fa3253"',
    "{250,50,83: a}": "250: None: behind each value stands the name of a class",
    "{-1: a}": "-1: what masks hold is a whole number from 0 to 65535 or a colour",
    "{65536: a}": "65536: what masks hold is a whole number from 0 to 65535",
    "{1.5: a}": "1.5: what masks hold is a whole number",
    "{true: a}": "True: what masks hold is a whole number",
    '{"300,0,0": a}': "a colour is three numbers from 0 to 255",
    "{0: no}": "0: False: behind each value .* numbers, yes and no in quotes",
    "{0: 7}": "0: 7: behind each value stands the name of a class",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_mapping_is_refused_in_a_line(text):
    with pytest.raises(InputError, match=REFUSED[text]) as refused:
        parsed("--data.mask_values", text)
    assert "mask_values" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_that_is_twice_in_a_file_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("data:\n  data_dir: x\n  mask_values:\n    0: a\n    0: b\n")
    with pytest.raises(InputError, match="line 5: 0 is there twice; keep one of them"):
        load_config(tmp_path / "a.yaml")


def test_the_ignored_label_is_no_value_of_a_class():
    mapping = {0: "a", 11: "b", 12: "ignore"}
    for label in (12, 13):
        assert DataConfig(mask_values=mapping, ignore_label=label).ignore_label == label
    with pytest.raises(
        InputError, match=r"ignore_label=11: .* data.mask_values gives this one to b"
    ):
        DataConfig(mask_values=mapping, ignore_label=11)


def test_cityscapes_ids_are_the_published_ones():
    classes = [(value, name) for value, name in CODINGS["cityscapes"] if name != "ignore"]
    assert [value for value, _ in CODINGS["cityscapes"]] == list(range(34))
    assert [value for value, _ in classes] == [
        *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    ]
    assert classes[0] == (7, "road")
    assert classes[-6:] == [
        *((26, "car"), (27, "truck"), (28, "bus"), (31, "train"), (32, "motorcycle")),
        (33, "bicycle"),
    ]
    assert CODINGS["cityscapes_train_ids"] == tuple(enumerate(name for _, name in classes))


def test_ade20k_counts_from_1_and_takes_the_names_of_the_classes():
    coding = MaskValues.of("ade20k")
    assert coding[:2] == ((0, "ignore"), (1, "1"))
    assert coding.class_names == tuple(map(str, range(1, 151)))
    named = coding.for_classes(["wall", "building"])
    assert named == ((0, "ignore"), (1, "wall"), (2, "building"))
    assert CODINGS["cityscapes"].for_classes(["wall"]) == CODINGS["cityscapes"]
