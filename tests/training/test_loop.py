import dataclasses
import errno
import json
import math
import signal
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fcn_tf
import fcn_tf.data.start_check
from fcn_tf.classes import VOID
from fcn_tf.config.schema import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    TrainingConfig,
)
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.models import build_fcn, load_model
from fcn_tf.training.loop import train
from fcn_tf.training.segmentation_loss import SegmentationLoss
from fcn_tf.training.stopping import Stopped
from tests.data.test_layouts import write_cvat
from tests.training.conftest import write_uneven_folder
from tests.training.runs import (
    assert_same_run,
    assert_same_weights,
    change,
    config_of,
    lines_of,
    newest_of,
    stop_after,
    weights_of,
)


class Watch(keras.callbacks.Callback):
    """Notes losses, weights and logs; after step 4 it ruins the network: all is of class d."""

    def __init__(self):
        super().__init__()
        self.losses, self.weights, self.logs = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        self.weights.append({v.path: v.numpy() for v in self.model.trainable_variables})
        if batch + 1 == 4:
            self.model.get_layer("score_fr").bias.assign([0, 0, 0, 1000])

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(logs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 and 5 uneven pairs with three classes, and a fourth, d, that is nowhere."""
    folder = tmp_path_factory.mktemp("data")
    write_uneven_folder(folder)
    (folder / "classes.txt").write_text("a\nb\nc\nd\n")
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A run whose best model is that of step 3, its folder, and what it tells its callbacks."""
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:  # as few_figures, for all tests of this file
        patch.setattr("fcn_tf.evaluation.report._figures", lambda *given, **options: [])
        return train(config_of(folder), tmp_path_factory.mktemp("run") / "run", [watch]), watch


def test_a_run_writes_what_is_promised(whole, folder):
    workdir, watch = whole
    lines = lines_of(workdir)
    assert [(line["step"], line["split"]) for line in lines] == [
        (3, "train"),
        (3, "val"),
        (4, "train"),
        (6, "train"),
        (6, "val"),
    ]
    for line in lines:
        assert line["epoch"] == round(line["step"] * 2 / 12, 4)
        assert {"loss", *SCORES} <= line.keys()
        if line["split"] == "train":
            expected = 1e-3 * (1 - (line["step"] - 1) / 6) ** 0.9
            assert line["learning_rate"] == pytest.approx(expected)
        assert ("class_iou" if line["split"] == "val" else "learning_rate") in line
    losses = watch.losses
    expected = [np.mean(losses[:3]), losses[3], np.mean(losses[4:])]
    assert [line["loss"] for line in lines if line["split"] == "train"] == pytest.approx(expected)
    for log, train_line, val_line in zip(watch.logs, lines[0::3], lines[1::3], strict=True):
        for name in ("loss", *SCORES):
            assert log[name] == train_line[name]
            assert log[f"val_{name}"] == val_line[name]
    model = load_model(workdir)
    assert model.class_names == ["a", "b", "c", "d"]
    assert len(model.palette) == 4
    assert fcn_tf.load_config(workdir / "config.yaml") == config_of(folder)


def test_the_best_model_is_kept_and_reported(whole, folder):
    """It is that of step 3; what the last step left finds nothing."""
    workdir, _ = whole
    best, last = [line for line in lines_of(workdir) if line["split"] == "val"]
    assert best["mean_iou"] > last["mean_iou"] == 0
    val = list(whole_images(open_source(config_of(folder).data), "val").as_numpy_iterator())
    scores = fcn_tf.evaluate(workdir, val)
    reported = json.loads((workdir / "report/scores.json").read_text())
    assert (reported["split"], reported["images"]) == ("val", 5)
    for name in SCORES:
        assert scores[name] == pytest.approx(best[name], abs=1e-9)
        assert reported[name] == pytest.approx(best[name], abs=1e-9)
    card = (workdir / "README.md").read_text()
    assert f"| mean IU | {100 * best['mean_iou']:.1f} |" in card
    # The loss of an image is the mean over its labelled pixels, that of val the mean over images.
    model, losses = load_model(workdir), []
    for each in val:
        logits = model(each["image"][None], training=False).numpy()[0].astype(np.float64)
        mask = each["segmentation_mask"][..., 0]
        valid = mask != VOID
        chosen = np.take_along_axis(logits[valid], mask[valid][:, None], axis=-1)[:, 0]
        losses.append(np.mean(np.log(np.exp(logits[valid]).sum(axis=-1)) - chosen))
    assert best["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_saved_model_is_the_average_of_the_weights(whole, folder):
    """With a decay of (1 + t) / (10 + t) at step t, by hand over the three steps."""
    workdir, watch = whole
    saved, config = weights_of(workdir), config_of(folder)
    keras.utils.set_random_seed(config.seed)
    network = {"trunk": "alexnet", "geometry": "caffe", "width": 0.0625, "head_units": 16}
    fresh = build_fcn("fcn32s", 4, **network, dropout=0.5)
    for variable in fresh.trainable_variables:
        average = variable.numpy().astype(np.float64)
        for step, weights in enumerate(watch.weights[:3], start=1):
            average += (1 - (1 + step) / (10 + step)) * (weights[variable.path] - average)
        np.testing.assert_allclose(saved[variable.path], average, atol=1e-6)
        # At step 0 the zero score layers keep gradients from the trunk; later nothing does.
        assert np.abs(saved[variable.path] - variable.numpy()).max() > 0, variable.path
    for variable in fresh.non_trainable_weights:
        np.testing.assert_array_equal(saved[variable.path], variable.numpy())


@pytest.fixture
def ctrl_c():
    """As in a terminal: a shell that runs the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupted_and_resumed_is_as_uninterrupted(
    whole, folder, tmp_path, capsys, monkeypatch, ctrl_c
):
    """Stopped after step 5, two steps after the best model; then a line too many is in the log."""
    reported = []
    monkeypatch.setattr("fcn_tf.training.loop.write_report", lambda *of: reported.append(of[3]))
    config, run = config_of(folder), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, run, [Watch(), stop_after(5)])
    assert [line["step"] for line in lines_of(run)] == [3, 3, 4]
    assert (run / "report/learning_curve.png").exists()
    assert not reported
    assert_same_weights(weights_of(run), weights_of(whole[0]))
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": 6, "split": "train", "loss": 9.0}) + "\n")
    # What it began with is no longer needed, and how many steps a call takes changes no weight.
    config = dataclasses.replace(config, resume="always", init_from=str(tmp_path / "gone"))
    config = change(config, "training", steps_per_call=9)
    train(config, run)
    assert_same_run(whole[0], run)
    assert reported == [run / "report"]
    written = fcn_tf.load_config(run / "config.yaml")
    assert written == dataclasses.replace(config, resume="never")
    said = capsys.readouterr().out
    assert "Stopping: saving the state after step 5 …" in said
    assert f"To continue: --resume --workdir {run}" in said
    assert "Resumed after step 5 of 6." in said
    assert f"Run folder: {run}" in said


def ended_by(error, heard):
    """What stands in the place of `fit`: two steps, and then an error."""

    def fit(run, place, *, folder, callbacks, signals, deadline):
        heard.append((list(callbacks), deadline, place.step))
        place.step += 2
        folder.log.write({"step": place.step, "split": "train", "loss": 1.0, "mean_iou": 0.5})
        raise error

    return fit


def test_what_is_left_of_a_run_that_ends_too_early(folder, tmp_path, monkeypatch, capsys):
    """First another machine is told to stop, before there is a model; then the disk is full."""
    heard, callback = [], keras.callbacks.Callback()
    config = change(config_of(folder), "training", max_minutes=2.5)
    config = change(config, "model", fc6_kernel=3)
    monkeypatch.setattr("fcn_tf.training.loop.fit", ended_by(Stopped(), heard))
    monkeypatch.setattr("fcn_tf.training.loop.time", SimpleNamespace(monotonic=lambda: 1000.0))
    with pytest.raises(RunError, match=r"Another machine .*; the state after step 2 is saved"):
        train(config, tmp_path / "run", [callback])
    assert heard == [([callback], 1150.0, 0)]
    newest = newest_of(tmp_path / "run")
    for path, value in weights_of(tmp_path / "run").items():
        name = f"model/{path}" if path.startswith("upscore") else f"average/{path}"
        np.testing.assert_array_equal(newest[name], value, err_msg=path)
    error = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("fcn_tf.training.loop.fit", ended_by(error, heard))
    config = change(config, "training", max_minutes=None)
    rate = config.optimizer.learning_rate
    config = change(config, "optimizer", learning_rate=2 * rate)
    with pytest.raises(RunError, match=r"run is full: a checkpoint needs .* MB"):
        train(dataclasses.replace(config, resume="auto"), tmp_path / "run")
    said = capsys.readouterr().out
    assert f"The learning rate changes: {rate:.3g} at step 2, {2 * rate:.3g}" in said
    assert "\nmodel.fc6_kernel=3 has no effect: trunk=alexnet has no fc6 of another size.\n" in said
    assert heard[1] == ([], math.inf, 2)
    assert (tmp_path / "run/report/learning_curve.png").exists()
    assert not (tmp_path / "run/report/scores.json").exists()


def test_which_folder_a_run_takes(config, tmp_path, monkeypatch):
    """The argument, the configuration's, or one after the variant; full ones are refused."""
    monkeypatch.chdir(tmp_path)
    for name in ("given", "configured", "runs/own-fcn8s", "runs/own-fcn8s-2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("")
    configured = dataclasses.replace(config, workdir="configured")
    for refused, workdir, name in (
        (configured, "given", "given"),
        (configured, None, "configured"),
        (dataclasses.replace(config, resume="always"), None, "runs/own-fcn8s-2"),
    ):
        with pytest.raises(InputError, match=f"^workdir={name} is not an empty folder"):
            train(refused, workdir)


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_same_bits_are_asked_of_tensorflow(
    config, tmp_path, monkeypatch, capsys, deterministic
):
    """And got: all that draws random numbers is seeded by then. The run is refused afterwards."""
    asked = []
    monkeypatch.setattr(
        tf.config.experimental,
        "enable_op_determinism",
        lambda: asked.append(float(tf.random.uniform(()))),
    )
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    config = change(config, "training", deterministic=deterministic)
    with pytest.raises(InputError, match="2 numbers"):
        train(change(config, "loss", class_weights=[1.0, 2.0]), tmp_path / "run")
    keras.utils.set_random_seed(config.seed)
    assert asked == [float(tf.random.uniform(()))] * deterministic
    assert ("TF_ENABLE_ONEDNN_OPTS=0" in capsys.readouterr().out) == deterministic
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(InputError, match="2 numbers"):
        train(change(config, "loss", class_weights=[1.0, 2.0]), tmp_path / "run")
    assert "TF_ENABLE_ONEDNN_OPTS" not in capsys.readouterr().out


def test_a_full_memory_is_answered_with_what_to_lower(config, tmp_path, monkeypatch):
    def full(data):
        raise MemoryError

    monkeypatch.setattr("fcn_tf.training.loop.open_source", full)
    with pytest.raises(RunError, match=r"Out of memory: lower --data\.batch_size"):
        train(config, tmp_path / "run")


@pytest.mark.slow
def test_steps_a_call_and_log_lines_change_no_weight(light, tmp_path):
    one = change(light, "training", steps_per_call=1, log_every_steps=1)
    ten = weights_of(train(light, tmp_path / "ten"))
    assert_same_weights(weights_of(train(one, tmp_path / "one")), ten)


@pytest.mark.slow
def test_the_steps_are_those_of_keras_fit(config, tmp_path):
    """The loop against compile and fit on the same batches."""
    config = change(config, "training", max_steps=4, eval_every_steps=4)
    config = change(config, "optimizer", name="sgd", learning_rate=1e-4, schedule="constant")
    trained = weights_of(train(config, tmp_path / "run"))

    keras.utils.set_random_seed(config.seed)
    source = open_source(config.data)
    model = build_fcn("fcn8s", 6, width=0.0625, head_units=16, dropout=0.0)
    model.compile(keras.optimizers.SGD(1e-4, momentum=0.9), loss=SegmentationLoss())
    batches = training_batches(source, config.data, config.seed)
    model.fit(batches, steps_per_epoch=4, shuffle=False, verbose=0)
    moved = 0
    for variable in model.variables:
        value = variable.numpy()
        np.testing.assert_allclose(trained[variable.path], value, atol=1e-6, err_msg=variable.path)
        moved += "score" in variable.path and np.abs(value).max() > 0
    assert moved


def test_a_loss_that_is_no_number_ends_the_run_with_the_step(config, tmp_path):
    config = change(config, "optimizer", name="sgd", learning_rate=1e8, schedule="constant")
    with pytest.raises(RunError, match=r"became (nan|inf) at step \d"):
        train(config, tmp_path / "run")
    assert (tmp_path / "run/config.yaml").exists()


def test_weights_that_are_no_numbers_are_not_saved(light, tmp_path):
    """The loss of the one step is taken before the update that ruins the weights."""
    config = change(light, "optimizer", name="sgd", learning_rate=1e38, schedule="constant")
    config = change(config, "training", max_steps=1)
    with pytest.raises(RunError, match=r"became (nan|inf) at step 1"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/model.keras").exists()


@pytest.mark.slow
def test_keras_own_tensorboard_callback_works(config, tmp_path):
    callback = keras.callbacks.TensorBoard(tmp_path / "board", write_graph=False)
    config = change(config, "training", max_steps=2)
    workdir = train(config, tmp_path / "run", callbacks=[callback])
    assert list((tmp_path / "board").rglob("events*"))
    # What the training left on the model is not in the file.
    assert not any("optimizer" in path for path in weights_of(workdir))
    size = (workdir / "model.keras").stat().st_size
    fresh = build_fcn("fcn8s", 6, width=0.0625, head_units=16)
    fresh.save(tmp_path / "fresh.keras")
    assert size < 1.1 * (tmp_path / "fresh.keras").stat().st_size


def test_the_error_for_a_file_that_breaks_during_training_names_it(tmp_path, monkeypatch):
    """Of a large folder only some pairs are read before."""
    monkeypatch.setattr(fcn_tf.data.start_check, "CHECKED_AT_START", 1)
    write_cvat(tmp_path / "data", ("Train", "Validation"))
    path = tmp_path / "data/SegmentationClass/street_2.png"
    whole = path.read_bytes()
    mask = np.asarray(Image.open(path)).copy()
    mask[0] = (1, 2, 3)
    Image.fromarray(mask).save(path)
    config = Config(
        variant="fcn32s",
        data=DataConfig(data_dir=str(tmp_path / "data"), batch_size=2),
        model=ModelConfig(trunk="alexnet", geometry="caffe", width=1 / 64, head_units=4),
        training=TrainingConfig(max_steps=3),
    )
    with pytest.raises(RunError, match=r"^/.*street_2.png: colour \(1, 2, 3\) in 32 pixels"):
        train(config, tmp_path / "run")
    path.write_bytes(whole)
    image = tmp_path / "data/JPEGImages/street_2.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(
        RunError, match=r"street_2.png: cannot be read as an image.*--resume goes on after step 0"
    ):
        train(config, tmp_path / "again")


def test_as_many_class_weights_as_classes(config, tmp_path):
    config = dataclasses.replace(config, loss=LossConfig(class_weights=[1.0, 2.0]))
    with pytest.raises(InputError, match="2 numbers, but there are 6 classes"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_bfloat16_trains_and_is_saved_as_float32(config, tmp_path):
    config = change(config, "training", precision="mixed_bfloat16", max_steps=2)
    model = load_model(train(config, tmp_path / "run"))
    assert model.get_layer("conv3_1").compute_dtype == "float32"
