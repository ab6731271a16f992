"""Sizes, lists and shards as one word; without TensorFlow."""

import pytest

from fcn_tf.config.files import dump_config, load_config
from fcn_tf.config.schema import DataConfig
from fcn_tf.config.types import Names, Scales, Shard, Size
from fcn_tf.errors import InputError


@pytest.mark.parametrize("given", ["240x320", [240, 320], (240, 320), Size((240, 320))])
def test_a_size_is_height_times_width(given):
    size = Size.of(given)
    assert (size[0], size[1]) == (240, 320)
    assert str(size) == "240x320"
    assert repr(size) == "Size(240, 320)"
    assert Size.of(str(size)) == size


def test_one_side_is_a_square():
    assert Size.of(321) == Size.of("321") == (321, 321)


@pytest.mark.parametrize("given", ["wide", "320*240", "3x4x5", "x4", [1], [1, 2, 3], 1.5, None])
def test_what_is_no_size_is_refused_with_an_example(given):
    with pytest.raises(InputError, match="HEIGHTxWIDTH, 240x320 for example"):
        Size.of(given)


def test_lists_are_written_with_commas():
    assert Names.of(" png, overlay,") == ("png", "overlay")
    assert Names.of(["tabby", "tiger cat"]) == ("tabby", "tiger cat")
    assert str(Names.of(["png", "npy"])) == "png,npy"
    assert Scales.of("0.75,1") == (0.75, 1.0)
    assert Scales.of(2) == Scales.of([2.0]) == (2.0,)
    assert str(Scales.of("0.75,1.00")) == "0.75,1"
    with pytest.raises(InputError, match=r"0\.75,1,1\.25 for example"):
        Scales.of("a")


def test_a_shard_is_one_of_its_number():
    assert Shard.of("3/4") == (3, 4)
    assert str(Shard.of("0/4")) == "0/4"
    for given in ("4/4", "5/4", "1", "a/b", "-1/4", 3):
        with pytest.raises(InputError, match="0/N to N-1/N"):
            Shard.of(given)


def test_crops_are_read_in_every_spelling_and_written_in_one(tmp_path):
    for number, given in enumerate(("32x48", [32, 48])):
        config = load_config("shapes", **{"data.crop_px": given})
        assert config.data.crop_px == (32, 48)
        path = tmp_path / f"{number}.yaml"
        path.write_text(dump_config(config, "1.2.3"))
        assert "crop_px: 32x48" in path.read_text()
        assert load_config(path) == config
    assert DataConfig(crop_px=64).crop_px == (64, 64)
    assert load_config("shapes", **{"data.crop_px": None}).data.crop_px is None
