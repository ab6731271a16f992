"""metrics.jsonl, and what TensorBoard reads."""

import contextlib
import io
import json

import numpy as np
import tensorflow as tf
from PIL import Image

from fcn_tf.training.checkpoints import Place
from fcn_tf.training.log import RunLog
from tests.training.runs import lines_of

TRAIN = {"split": "train", "epoch": 0.5, "loss": 1.5, "mean_iou": None, "learning_rate": 0.001}
VAL = {"split": "val", "epoch": 0.5, "loss": 2.5, "mean_iou": 0.25, "class_iou": {"a": 0.25}}


def records_of(path):
    """Up to a torn one."""
    with contextlib.suppress(tf.errors.DataLossError):
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()


def of_tensorboard(folder):
    """The values in TensorBoard's files: (step, name) and what it shows."""
    found = {}
    for path in sorted(folder.iterdir()):
        for record in records_of(path):
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found[event.step, value.tag] = tf.make_ndarray(value.tensor)
    return found


def test_lines_go_to_the_file_and_to_tensorboard(tmp_path):
    log = RunLog(tmp_path, Place())
    log.write({"step": 4, **TRAIN})
    log.write({"step": 6, **VAL})
    log.close()
    assert lines_of(tmp_path) == log.lines == [{"step": 4, **TRAIN}, {"step": 6, **VAL}]
    assert log.path == tmp_path / "metrics.jsonl"
    train = of_tensorboard(tmp_path / "tensorboard/train")
    expected = {(4, "epoch"): 0.5, (4, "loss"): 1.5, (4, "learning_rate"): np.float32(0.001)}
    assert train == expected
    val = of_tensorboard(tmp_path / "tensorboard/val")
    assert val == {(6, "epoch"): 0.5, (6, "loss"): 2.5, (6, "mean_iou"): 0.25}


def test_pictures_go_to_tensorboards_page_of_val(tmp_path):
    random = np.random.default_rng(0)
    pictures = {f"{n}.png": random.integers(0, 256, (4, 9, 3), dtype=np.uint8) for n in (1, 2)}
    log = RunLog(tmp_path, Place())
    log.write_pictures(6, pictures)
    log.close()
    shown = of_tensorboard(tmp_path / "tensorboard/val")
    assert {(step, name.split("/image")[0]) for step, name in shown} == {(6, n) for n in pictures}
    for (_, name), (width, height, png) in shown.items():
        assert (int(width), int(height)) == (9, 4)
        with Image.open(io.BytesIO(png)) as image:
            np.testing.assert_array_equal(np.asarray(image), pictures[name.split("/image")[0]])


def test_lines_later_than_the_place_are_dropped(tmp_path):
    """A torn line is dropped too, and an evaluation that is done again."""
    lines = [{"step": 3, **TRAIN}, {"step": 3, **VAL}, {"step": 4, **TRAIN}]
    at_6 = [{"step": 6, **TRAIN}, {"step": 6, **VAL}]
    later = [{"step": 7, **TRAIN}, {"step": 9, **VAL}]
    path = tmp_path / "metrics.jsonl"
    for place, kept in (
        (Place(step=5, evaluated_step=3), lines),
        (Place(step=6, evaluated_step=6), [*lines, *at_6]),
        (Place(step=6, evaluated_step=3), [*lines, at_6[0]]),
    ):
        path.write_text("".join(json.dumps(one) + "\n" for one in [*lines, *at_6, *later]))
        with path.open("a") as file:
            file.write('{"step": 2, "spl')
        log = RunLog(tmp_path, place)
        assert lines_of(tmp_path) == log.lines == kept
        log.write({"step": 8, **TRAIN})
        log.close()
        assert lines_of(tmp_path) == log.lines == [*kept, {"step": 8, **TRAIN}]


def test_a_resumed_run_has_one_curve_in_tensorboard(tmp_path):
    """Points past the place are taken out of the files, and those before it stay as they are."""
    picture = np.full((4, 9, 3), 7, np.uint8)

    def write(place, losses):
        log = RunLog(tmp_path, place)
        for step, loss in losses.items():
            for line in (TRAIN, VAL):
                log.write({"step": step, **line, "loss": loss})
            log.write_pictures(step, {"a.png": picture})
        log.close()

    def curve(split, name="loss"):
        shown = of_tensorboard(tmp_path / "tensorboard" / split)
        return {step: np.ravel(value)[0] for (step, tag), value in shown.items() if tag == name}

    write(Place(), {2: 8.0, 4: 4.0})
    (first,) = (tmp_path / "tensorboard/train").iterdir()
    before = first.read_bytes()
    write(Place(step=4, evaluated_step=4), {6: 3.0, 8: 2.0})
    assert first.read_bytes() == before
    with first.open("ab") as file:
        file.write(before[:-5])  # of a killed process; TensorBoard reads up to here, too
    # Stopped before the evaluation of step 6, which is done again.
    write(Place(step=6, evaluated_step=4), {10: 1.5})
    assert curve("train") == {2: 8.0, 4: 4.0, 6: 3.0, 10: 1.5}
    assert curve("val") == {2: 8.0, 4: 4.0, 10: 1.5}
    assert set(curve("val", "a.png/image/0")) | set(curve("val", "a.png")) == {2, 4, 10}
    write(Place(step=3), {})
    assert curve("train") == {2: 8.0}
    assert not list((tmp_path / "tensorboard").rglob(".*"))
    write(Place(), {1: 9.0})  # killed before its first checkpoint
    assert curve("train") == curve("val") == {1: 9.0}
    for path in (tmp_path / "tensorboard").glob("*/*"):
        assert tf.compat.v1.Event.FromString(next(records_of(path))).file_version
