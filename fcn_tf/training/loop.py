"""The training loop: compiled calls of several steps, evaluations between them."""

import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from fcn_tf.data import open_source
from fcn_tf.data.faults import named_as
from fcn_tf.drawing import write_figure
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.metrics import SCORES
from fcn_tf.evaluation.report import learning_curve
from fcn_tf.models import load_model, save_model
from fcn_tf.models.saving import MODEL_FILE
from fcn_tf.progress import bar_interval_s
from fcn_tf.scoring import REPORT_DIR, write_report
from fcn_tf.training.run import Run
from fcn_tf.training.start import check_start
from fcn_tf.training.state import RunLog, check_workdir, create_run_dir, default_workdir


def train(config, workdir=None, callbacks=()):
    """Trains a network, keeps the best one by the mean IU on val, and reports its scores.

    Args:
        config: a `Config`.
        workdir: the run's folder; default config.workdir, or the first free
            runs/own-VARIANT.
        callbacks: `keras.callbacks`. An epoch is the time between two evaluations;
            its logs are loss and the four scores of the last `log_every_steps`, and
            those of val as val_loss, val_mean_iou, …; what is undefined is left out.
            A batch is a call of `steps_per_call` steps.

    Returns:
        Path of the run's folder.

    Raises:
        InputError: the configuration or the data cannot be used; nothing was written.
        RunError: the loss became NaN or infinite.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Training runs on Keras' TensorFlow backend, but KERAS_BACKEND is "
            f"{keras.backend.backend()}: unset it."
        )
    workdir = Path(workdir or config.workdir or default_workdir(None, config.variant))
    check_workdir(workdir)
    check_start(config)
    keras.utils.set_random_seed(config.seed)
    source = open_source(config.data)
    with named_as(InputError):  # met while the classes are counted
        run = Run(config, source)
    create_run_dir(workdir, config)
    print(f"Run folder: {workdir}", flush=True)
    log = RunLog(workdir)
    try:
        with named_as(RunError):
            _fit(run, workdir, log, callbacks)
    except tf.errors.ResourceExhaustedError as error:
        raise RunError(
            "Out of memory: lower --data.batch_size, --data.crop_px or --model.width."
        ) from error
    except Exception:
        raise
    except BaseException:  # stopped from outside, between two calls
        if not (workdir / MODEL_FILE).exists():
            _save(run, workdir)
        raise
    finally:
        log.close()
        if log.lines:
            write_figure(workdir / REPORT_DIR / "learning_curve.png", learning_curve(log.lines))
    write_report(load_model(workdir), source, "val", workdir / REPORT_DIR)
    return workdir


def _fit(run, workdir, log, callbacks):
    """Runs the steps and the evaluations; writes the log and the best model."""
    training = run.config.training
    progress = _Progress(training.max_steps)
    callbacks = keras.callbacks.CallbackList(list(callbacks), model=run.model)
    best_iou = -math.inf
    run.model.stop_training = False
    callbacks.on_train_begin()
    step, epoch = 0, 0
    callbacks.on_epoch_begin(epoch)
    for stop in _stops(training):
        train_line = _train_until(stop, step, run, progress, callbacks)
        step = stop
        log.write({**_place(step, run), "split": "train", **train_line})
        if step % training.eval_every_steps and step != training.max_steps:
            continue
        val_line, pictures = run.evaluate()
        _check_finite([val_line["loss"]], step - 1)
        log.write({**_place(step, run), "split": "val", **val_line})
        log.write_pictures(step, pictures)
        val_iou = val_line["mean_iou"] or 0.0
        progress.show(step, val_mean_iou=val_iou)
        if val_iou > best_iou:
            best_iou = val_iou
            _save(run, workdir)
        callbacks.on_epoch_end(epoch, _epoch_logs(train_line, val_line))
        if run.model.stop_training or step == training.max_steps:
            break
        epoch += 1
        callbacks.on_epoch_begin(epoch)
    callbacks.on_train_end()


def _epoch_logs(train_line, val_line):
    """Keras' logs: numbers by name, those of val with the prefix val_."""
    logs = {name: train_line[name] for name in ("loss", *SCORES)}
    logs |= {f"val_{name}": val_line[name] for name in ("loss", *SCORES)}
    return {name: value for name, value in logs.items() if value is not None}


def _save(run, workdir):
    with run.average.in_place():
        save_model(run.model, workdir / MODEL_FILE)


def _train_until(stop, step, run, progress, callbacks):
    """Takes the steps from `step` to `stop`; returns what metrics.jsonl says of them."""
    run.metrics.reset_state()
    losses = []
    started = time.perf_counter()
    while step < stop:
        callbacks.on_train_batch_begin(step)
        call_steps = min(run.config.training.steps_per_call, stop - step)
        call_losses = run.train_call(tf.constant(call_steps)).numpy()
        _check_finite(call_losses, step)
        step += call_steps
        losses.extend(call_losses)
        images = len(losses) * run.config.data.batch_size
        images_per_second = images / (time.perf_counter() - started)
        scores = {name: float(value) for name, value in run.metrics.result().items()}
        loss = float(np.mean(losses))
        progress.show(step, loss=loss, mean_iou=scores["mean_iou"], images_per_s=images_per_second)
        callbacks.on_train_batch_end(step - 1, {"loss": float(call_losses[-1])})
    return {
        "loss": loss,
        "learning_rate": run.learning_rate(step - 1),
        "images_per_second": round(images_per_second, 3),
        **{name: None if math.isnan(value) else value for name, value in scores.items()},
    }


class _Progress:
    """Keras' progress bar; in a log file a line every half minute."""

    def __init__(self, max_steps):
        self.values = {}
        self.bar = keras.utils.Progbar(
            max_steps,
            interval=bar_interval_s(),
            stateful_metrics=["loss", "mean_iou", "images_per_s", "val_mean_iou"],
        )

    def show(self, step, **values):
        """Moves the bar; a value stands until the next one of its name."""
        new_line = "val_mean_iou" in values and step == self.bar.target
        self.values |= values
        if step < self.bar.target or new_line:
            self.bar.update(step, list(self.values.items()), finalize=new_line)


def _stops(training):
    """The steps at which to log or to evaluate, in order; the last step is one."""
    stops = {training.max_steps}
    for every_steps in (training.log_every_steps, training.eval_every_steps):
        stops.update(range(every_steps, training.max_steps, every_steps))
    return sorted(stops)


def _place(step, run):
    """Where in the run a line of metrics.jsonl belongs."""
    images = step * run.config.data.batch_size
    return {"step": step, "epoch": round(images / run.source.split_sizes["train"], 4)}


def _check_finite(losses, steps_before):
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        raise RunError(
            f"The loss became {losses[bad[0]]} at step {steps_before + bad[0] + 1}: lower "
            "--optimizer.learning_rate, add --optimizer.warmup_steps or --optimizer.clip_norm."
        )
