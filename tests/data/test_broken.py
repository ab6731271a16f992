"""Files that cannot be used: named, skipped in their place, and told of."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fcn_tf.classes import MEAN_RGB, VOID
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.data.broken import SKIPPED_MARK
from fcn_tf.data.faults import data_errors_as
from fcn_tf.data.frequencies import count_classes
from fcn_tf.data.pipeline import evaluation_share
from fcn_tf.data.skipped import Skipped
from fcn_tf.errors import InputError, RunError

SIZE = (6, 8)
TRAIN = [f"{number}.png" for number in range(7)]


def write_folder(folder):
    """Seven pairs of train and three of val; the pixels of each are its number."""
    for split, names in (("train", TRAIN), ("val", ["7.png", "8.png", "9.png"])):
        for name in names:
            image = np.full((*SIZE, 3), int(name[0]), np.uint8)
            mask = np.full(SIZE, int(name[0]) // 2 % 2, np.uint8)
            for kind, pixels in (("images", image), ("masks", mask)):
                path = folder / kind / split / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (folder / "classes.txt").write_text("ground\nroad\n")


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


# What breaks, and what the message says of it.
FAULTS = {
    "images/train/1.png": (cut, "cannot be read as an image"),
    "images/train/3.png": (lambda path: path.unlink(), "No such file"),
    "masks/train/4.png": (lambda path: path.write_text("<html>404</html>"), "cannot be read"),
    "masks/train/5.png": (
        lambda path: Image.new("L", SIZE[::-1], 9).save(path),
        "value 9 in 48 pixels",
    ),
    "masks/train/6.png": (lambda path: Image.new("L", (5, 5)).save(path), "5x5 px, but 6.png"),
}


def opened(folder, broken="skip", **data):
    config = Config(
        data=DataConfig(data_dir=str(folder), broken=broken, batch_size=7, flip=False, **data)
    ).data
    return open_source(config), config


def broken_folder(folder, faults=FAULTS, **data):
    """The source of a folder whose files break once it is opened."""
    write_folder(folder)
    source, config = opened(folder, **data)
    for name in faults:
        FAULTS[name][0](folder / name)
    return source, config


def test_the_file_is_named(tmp_path):
    write_folder(tmp_path)
    source, _ = opened(tmp_path, broken="stop")
    data = whole_images(source, "train")
    for name, (spoil, part) in FAULTS.items():
        whole = (tmp_path / name).read_bytes()
        spoil(tmp_path / name)
        with pytest.raises(RunError) as error, data_errors_as(RunError, source, "train"):
            list(data)
        assert str(error.value).startswith(f"{tmp_path / name}: ")
        assert part in str(error.value)
        (tmp_path / name).write_bytes(whole)


def test_broken_files_are_skipped_in_their_place(tmp_path):
    """Whole batches, the others where they were, and the same from any sample on."""
    source, config = broken_folder(tmp_path, crop_px=(4, 5))
    images, masks = next(iter(training_batches(source, config, seed=3)))
    assert images.shape == (7, 4, 5, 3)
    mean = tf.cast(tf.constant(MEAN_RGB), tf.uint8).numpy()
    left = []
    for image, mask in zip(images.numpy(), masks.numpy(), strict=True):
        if (mask == VOID).all():
            assert (image == mean).all()
        else:
            left.append(image[0, 0, 0])
            assert (image == left[-1]).all()
    assert sorted(left) == [0, 2]
    assert len(source.skipped) == 5
    for name, (_, part) in FAULTS.items():
        (text,) = [text for text in source.skipped.texts() if str(tmp_path / name) in text]
        assert part in text

    stream = training_batches(source, config, seed=3, skip_samples=3)
    later = next(iter(stream))
    np.testing.assert_array_equal(later[0][:4], images[3:])
    np.testing.assert_array_equal(later[1][:4], masks[3:])

    for number in (0, 2):
        (tmp_path / f"images/train/{number}.png").unlink()
    with (
        pytest.raises(RunError, match=r"^None of the 7 images of train can be used\. The last: /"),
        data_errors_as(RunError),
    ):
        list(stream.take(3))  # at least two epochs


def test_an_evaluation_skips_them_too(tmp_path):
    source, _ = broken_folder(tmp_path)
    share = evaluation_share(source, "train", worker=0, workers=1, replicas=1)
    examples = list(share.as_numpy_iterator())
    labelled = [bool(np.any(e["segmentation_mask"] != VOID)) for e in examples]
    assert labelled == [True, False, True, False, False, False, False]
    counts = [count.tolist() for count in count_classes(source, "train")]
    # Of 1.png only the image is broken, which is not read for this.
    assert counts == [[48, 0], [48, 0], [0, 48], *[[0, 0]] * 4]
    marked = [e["file_name"].decode() for e in examples if SKIPPED_MARK.encode() in e["file_name"]]
    names = [str(tmp_path / "images/train" / f"{n}.png{SKIPPED_MARK}") for n in (1, 3, 4, 5, 6)]
    assert marked == names


def test_the_start_check_skips_what_it_finds(tmp_path, capsys):
    write_folder(tmp_path)
    for name, (spoil, _) in FAULTS.items():
        spoil(tmp_path / name) if "3.png" not in name else cut(tmp_path / name)
    with pytest.raises(InputError, match=r"train/1\.png: .* \(4 more pairs have faults\.\)"):
        opened(tmp_path, broken="stop")
    source, _ = opened(tmp_path)
    said = capsys.readouterr().out
    assert f"5 images are skipped (data.broken): {tmp_path}/images/train/1.png: cannot" in said
    assert " … and 2 more.\n" in said
    assert source.split_sizes == {"train": 7, "val": 3}
    # 0 and 2 are left: a class each.
    assert "Note: Everything labelled in train" not in said


def test_what_is_said_of_skipped_files():
    skipped = Skipped()
    assert skipped.summary() is None
    skipped.note("a", "a: broken.")
    assert skipped.summary() == "1 image is skipped (data.broken): a: broken."
    assert skipped.summary(already=1) is None
    for name in "bcda":
        skipped.note(name, f"{name}: broken.")
    assert skipped.summary(already=1) == (
        "4 images are skipped (data.broken): a: broken. b: broken. c: broken. … and 1 more."
    )
    with pytest.raises(InputError, match=r"None of the 5 images of train can be used\. .* e: gone"):
        skipped.note("e", "e: gone.", size=5)
