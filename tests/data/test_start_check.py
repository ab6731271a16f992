"""What a training says and refuses before its first step, and check-data with it."""

import numpy as np
import pytest
from PIL import Image

import fcn_tf.data.start_check
from fcn_tf.classes import VOID
from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source
from fcn_tf.data.check import check_data_set
from fcn_tf.data.occurrence import Occurrence, count_labels, judge, unlabelled_share
from fcn_tf.errors import InputError

NAMES = ("ground", "road", "car")


def write(folder, masks, classes=NAMES):
    """Pairs of one grey with these masks, by "SPLIT/NAME"."""
    for name, mask in masks.items():
        mask = np.array(mask, np.uint8)
        for kind, pixels in (("images", np.full((*mask.shape, 3), 77, np.uint8)), ("masks", mask)):
            path = folder / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    if classes:
        (folder / "classes.txt").write_text("\n".join(classes))
    return folder


def data_of(folder, **data):
    return Config(data=DataConfig(data_dir=str(folder), **data)).data


def judged(split, *masks, total=None, names=NAMES, remedy=lambda: None):
    seen = Occurrence(split, total or len(masks))
    for mask in masks:
        seen.add(count_labels(np.array(mask, np.uint8), len(names)))
    return judge(seen, names, remedy)


UNDEFINED = (
    " On val, the IU of a class that never occurs is undefined (null), or 0 where the network "
    "predicts it."
)
JUDGED = {
    "all classes": (judged("train", [0, 1, 2]), None, []),
    "nothing read": (judged("train", total=3), None, []),
    "one absent": (judged("train", [0, 1], [0]), None, ["class car never occurs in train"]),
    "of some": (
        judged("val", [0], [0], total=4),
        None,
        ["classes road, car do not occur in the 2 of 4 masks of val that were read"],
    ),
    "one class in val": (
        judged("val", [1, 1, VOID, VOID]),
        None,
        [
            "Everything labelled in val is class road; ground, car never occur. 50 % of its pixels "
            f"are 255, which means: not labelled.{UNDEFINED}"
        ],
    ),
    "no label in test": (
        judged("test", [VOID]),
        None,
        ["No pixel of test is labelled: all are 255. The scores on test are undefined (null)."],
    ),
    "one class in train": (
        judged("train", [0, 0], [0, VOID], names=("ground", "road"), remedy=lambda: "--do this"),
        "Everything labelled in train is class ground; road never occurs. 25 % of its pixels are "
        "255, which means: not labelled. If the other values mean classes, say so: --do this",
        [],
    ),
    "no label in train": (
        judged("train", [VOID]),
        "No pixel of train is labelled: all are 255. A training needs two classes: label another "
        "one, or say with --data.mask_values which values mean which class.",
        [],
    ),
}


@pytest.mark.parametrize("case", JUDGED)
def test_what_is_said_of_a_split(case):
    judgement, error, warnings = JUDGED[case]
    assert judgement.error == error
    assert judgement.warnings == warnings


def test_a_share_is_never_rounded_to_none_or_all():
    shares = [unlabelled_share(1000 - px, px) for px in (0, 4, 500, 996, 1000)]
    assert shares == ["0 %", "less than 1 %", "50 %", "more than 99 %", "100 %"]


def test_notes_stand_before_the_training(tmp_path, capsys):
    write(tmp_path, {"train/a": [[0, 1]], "train/b": [[1, 2]], "val/c": [[1, 0]]})
    open_source(data_of(tmp_path))
    assert capsys.readouterr().out.endswith(
        ".\nReading 3 images and masks once, to check them …\nNote: class car never occurs in val\n"
    )


@pytest.mark.parametrize("second", [True, False])
def test_train_is_read_on_for_a_second_class(tmp_path, monkeypatch, capsys, second):
    """Of 12 pairs 3 are read, of which those of train have one class."""
    monkeypatch.setattr(fcn_tf.data.start_check, "CHECKED_AT_START", 3)
    masks = {f"train/{number:02}": [[1, 1]] for number in range(9)}
    masks |= {f"val/{number:02}": [[0, 1]] for number in range(3)}
    masks["train/07"] = [[1, 2 if second else 1]]
    write(tmp_path, masks)
    if second:
        open_source(data_of(tmp_path))
        said = capsys.readouterr().out
        assert "Note: class ground does not occur in the 9 of 9 masks" not in said
        assert "Note: class ground " in said
    else:
        with pytest.raises(InputError, match=r"^Everything labelled in train is class road; "):
            open_source(data_of(tmp_path))


def text_mask(path):
    path.write_text("not an image")


def deep_image(path):
    Image.fromarray(np.full((1, 2), 3000, np.uint16)).save(path)


def other_size(path):
    Image.new("L", (5, 5)).save(path)


def wrong_value(path):
    Image.new("L", (2, 1), 9).save(path)


def one_class(path):
    for mask in path.parent.iterdir():
        Image.new("L", (2, 1)).save(mask)


def all_void(path):
    Image.new("L", (2, 1), VOID).save(path)


def with_alpha(path):
    Image.new("RGBA", (2, 1)).save(path)


def truncated(path):
    path.write_bytes(path.read_bytes()[:40])


def gone(path):
    path.unlink()


def no_val(path):
    gone(path)
    gone(path.parents[2] / "images/val/c.png")


def twin(path):
    path.with_suffix(".jpg").write_bytes(path.read_bytes())


# What is done to which file.
SPOILED = [
    (None, None),
    (text_mask, "masks/train/a.png"),
    (truncated, "images/train/a.png"),
    (truncated, "masks/val/c.png"),
    (deep_image, "images/val/c.png"),
    (other_size, "masks/train/a.png"),
    (wrong_value, "masks/val/c.png"),
    (one_class, "masks/train/a.png"),
    (one_class, "masks/val/c.png"),
    (all_void, "masks/train/a.png"),
    (all_void, "masks/val/c.png"),
    (with_alpha, "images/train/a.png"),
    (gone, "classes.txt"),
    (lambda path: path.write_text("road\n"), "classes.txt"),
    (lambda path: path.write_text("road\nroad\ncar\n"), "classes.txt"),
    (lambda path: path.write_text("road 1 2 3\ncar\nbus\n"), "classes.txt"),
    (gone, "images/train/a.png"),
    (gone, "masks/train/a.png"),
    (no_val, "masks/val/c.png"),
    (twin, "images/train/a.png"),
    (lambda path: path.rename(path.with_name("labels_of_mine")), "masks"),
    (lambda path: path.rename(path.with_name("zzz")), "images"),
]


@pytest.mark.parametrize("broken", ["stop", "skip"])
def test_check_data_has_errors_where_a_training_refuses(tmp_path, broken):
    """And only there; each error is said once."""
    for number, (spoil, name) in enumerate(SPOILED):
        masks = {"train/a": [[0, 1]], "train/b": [[1, 2]], "val/c": [[2, 0]]}
        folder = write(tmp_path / str(number), masks)
        if spoil:
            spoil(folder / name)
        data = data_of(folder, broken=broken)
        try:
            open_source(data)
            refused = None
        except InputError as error:
            refused = str(error)
        checked = check_data_set(data)
        errors = [text for _, text in checked.errors]
        about = f"{number}: {name}: {refused} {errors}"
        assert bool(errors) == bool(refused), about
        assert len(errors) == len(set(errors)), about


def test_of_very_many_pairs_with_one_class_not_all_are_read(tmp_path, monkeypatch, capsys):
    """Of 8 pairs 4 are read at once, and 2 more; so the second class may be in the others."""
    write(tmp_path, {f"train/{name}": [[1]] for name in "abcdefg"} | {"val/h": [[0]]})
    monkeypatch.setattr(fcn_tf.data.start_check, "CHECKED_AT_START", 4)
    with pytest.raises(InputError, match="Everything labelled in train is class road"):
        open_source(data_of(tmp_path))
    monkeypatch.setattr(fcn_tf.data.start_check, "READ_ON", 2)
    capsys.readouterr()
    open_source(data_of(tmp_path))
    never = "Note: classes ground, car do not occur in the 6 of 7 masks of train that were read"
    assert never in capsys.readouterr().out
