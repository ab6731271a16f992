import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

import fcn_tf
import fcn_tf.data.folder
from fcn_tf.config.schema import Config, DataConfig, LossConfig, ModelConfig, TrainingConfig
from fcn_tf.data import open_source, training_batches, whole_images
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.models import build_fcn, load_model
from fcn_tf.training.loop import train
from fcn_tf.training.losses import SegmentationLoss
from tests.data.test_layouts import write_cvat
from tests.training.runs import change, lines_of, weights_of


def test_a_run_writes_what_is_promised(config, tmp_path):
    workdir = train(config, tmp_path / "run")
    lines = lines_of(workdir)
    assert [(line["step"], line["split"]) for line in lines] == [
        (2, "train"),
        (3, "train"),
        (3, "val"),
        (4, "train"),
        (6, "train"),
        (6, "val"),
    ]
    for line in lines:
        assert line["epoch"] == line["step"] * 2 / 40
        assert {"loss", *SCORES} <= line.keys()
        if line["split"] == "train":
            expected = 1e-3 * (1 - (line["step"] - 1) / 6) ** 0.9
            assert line["learning_rate"] == pytest.approx(expected)
        assert ("class_iou" if line["split"] == "val" else "learning_rate") in line
    model = load_model(workdir)
    assert model.class_names == ["background", "disc", "ring", "triangle", "cross", "bar"]
    assert len(model.palette) == 6
    assert list((workdir / "tensorboard/val").iterdir())
    assert fcn_tf.load_config(workdir / "config.yaml") == config


def test_the_saved_model_scores_what_the_log_says(config, tmp_path):
    workdir = train(config, tmp_path / "run")
    best = max(line["mean_iou"] for line in lines_of(workdir) if line["split"] == "val")
    scores = fcn_tf.evaluate(workdir, whole_images(open_source(config.data), "val"))
    assert scores["mean_iou"] == pytest.approx(best, abs=1e-9)


@pytest.mark.slow
def test_steps_a_call_and_log_lines_change_no_weight(config, tmp_path):
    one = change(config, "training", steps_per_call=1, log_every_steps=1)
    weights = weights_of(train(config, tmp_path / "ten"))
    for path, value in weights_of(train(one, tmp_path / "one")).items():
        np.testing.assert_array_equal(value, weights[path], err_msg=path)


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


def test_after_a_few_steps_every_trained_weight_has_moved(config, tmp_path):
    """At step 0 the zero score layers keep gradients from the trunk; later nothing does."""
    trained = weights_of(train(config, tmp_path / "run"))
    keras.utils.set_random_seed(config.seed)
    fresh = build_fcn("fcn8s", 6, width=0.0625, head_units=16, dropout=0.0)
    for variable in fresh.trainable_variables:
        assert np.abs(trained[variable.path] - variable.numpy()).max() > 0, variable.path
    for variable in fresh.non_trainable_variables:
        np.testing.assert_array_equal(trained[variable.path], variable.numpy())


@pytest.mark.slow
def test_the_average_of_the_weights_is_what_is_saved(config, tmp_path):
    """With a decay of (1 + t) / (10 + t) at step t, by hand over three steps."""
    snapshots = []

    class Snapshots(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            snapshots.append({v.path: v.numpy() for v in self.model.trainable_variables})

    config = change(config, "optimizer", ema=0.9)
    config = change(config, "training", max_steps=3, eval_every_steps=3, steps_per_call=1)
    workdir = train(config, tmp_path / "run", callbacks=[Snapshots()])
    keras.utils.set_random_seed(config.seed)
    fresh = build_fcn("fcn8s", 6, width=0.0625, head_units=16, dropout=0.0)
    saved = weights_of(workdir)
    for variable in fresh.trainable_variables:
        average = variable.numpy().astype(np.float64)
        for step, weights in enumerate(snapshots, start=1):
            decay = min(0.9, (1 + step) / (10 + step))
            average += (1 - decay) * (weights[variable.path] - average)
        np.testing.assert_allclose(saved[variable.path], average, atol=1e-6)


def test_l2_of_sgd_is_part_of_the_gradient_and_spares_biases(config, tmp_path):
    """With a loss of weight 0, two steps of momentum SGD on 0.5 * decay * w ** 2 alone, by hand."""
    config = change(config, "loss", class_weights=[0.0] * 6)
    config = change(
        config,
        "optimizer",
        name="sgd",
        learning_rate=0.1,
        momentum=0.5,
        weight_decay=0.2,
        schedule="constant",
    )
    config = change(config, "training", max_steps=2, eval_every_steps=2)
    saved = weights_of(train(config, tmp_path / "run"))
    keras.utils.set_random_seed(config.seed)
    fresh = build_fcn("fcn8s", 6, width=0.0625, head_units=16, dropout=0.0)
    for variable in fresh.trainable_variables:
        start = variable.numpy()
        if variable.path.endswith("kernel"):
            first = start - 0.1 * 0.2 * start
            second = first + 0.5 * (first - start) - 0.1 * 0.2 * first
        else:
            second = start
        np.testing.assert_allclose(saved[variable.path], second, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_biases_take_the_rate_that_the_configuration_says(config, tmp_path):
    """One step of SGD with momentum 0, once with every rate alike and once with 3 for biases."""
    config = change(config, "training", max_steps=1, eval_every_steps=1)
    config = change(config, "optimizer", name="sgd", momentum=0.0, schedule="constant")
    alike = weights_of(train(config, tmp_path / "alike"))
    config = change(config, "optimizer", bias_multiplier=3.0)
    tripled = weights_of(train(config, tmp_path / "tripled"))
    for path, value in alike.items():
        # Score layers start at zero, and from there only their tensors get a gradient.
        factor = 3 if path.startswith("score_") and path.endswith("bias") else 1
        np.testing.assert_allclose(tripled[path], factor * value, rtol=1e-5, err_msg=path)
    assert np.abs(alike["score_fr/bias"]).min() > 0


@pytest.mark.slow
def test_loss_falls(config, tmp_path):
    config = change(config, "training", max_steps=60, eval_every_steps=60, log_every_steps=20)
    losses = [
        line["loss"]
        for line in lines_of(train(config, tmp_path / "run"))
        if line["split"] == "train"
    ]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_users_callbacks_see_the_scores_and_can_stop_the_run(config, tmp_path):
    logs = []
    config = change(config, "training", max_steps=50, eval_every_steps=2, checkpoint_every_steps=50)
    stop = keras.callbacks.EarlyStopping(monitor="val_mean_iou", mode="max", min_delta=1.0)
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, log: logs.append(log))
    workdir = train(config, tmp_path / "run", callbacks=[stop, record])
    assert len(logs) == 2
    val = [line for line in lines_of(workdir) if line["split"] == "val"]
    assert [log["val_mean_iou"] for log in logs] == [line["mean_iou"] for line in val]
    assert (workdir / "checkpoints/step-000000004.npz").exists()


def test_a_loss_that_is_no_number_ends_the_run_with_the_step(config, tmp_path):
    config = change(config, "optimizer", name="sgd", learning_rate=1e8, schedule="constant")
    with pytest.raises(RunError, match=r"became (nan|inf) at step \d"):
        train(config, tmp_path / "run")
    assert (tmp_path / "run/config.yaml").exists()


def test_weights_that_are_no_numbers_are_not_saved(config, tmp_path):
    """The loss of the one step is taken before the update that ruins the weights."""
    config = change(config, "optimizer", name="sgd", learning_rate=1e38, schedule="constant")
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
    monkeypatch.setattr(fcn_tf.data.folder, "CHECKED_AT_START", 1)
    write_cvat(tmp_path / "data", ("Train", "Validation"))
    path = tmp_path / "data/SegmentationClass/street_2.png"
    whole = path.read_bytes()
    mask = np.asarray(Image.open(path)).copy()
    mask[0] = (1, 2, 3)
    Image.fromarray(mask).save(path)
    config = Config(
        data=DataConfig(data_dir=str(tmp_path / "data"), batch_size=2),
        model=ModelConfig(width=1 / 64, head_units=4),
        training=TrainingConfig(max_steps=3),
    )
    with pytest.raises(RunError, match=r"^/.*street_2.png: colour \(1, 2, 3\) in 32 pixels"):
        train(config, tmp_path / "run")
    path.write_bytes(whole)
    image = tmp_path / "data/JPEGImages/street_2.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(RunError, match="check-data says which"):
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
