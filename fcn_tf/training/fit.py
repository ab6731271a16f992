"""The course of a run: compiled calls of several steps, evaluations and checkpoints between."""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from fcn_tf.errors import RunError
from fcn_tf.evaluation.metrics import SCORES, scores_from_confusion
from fcn_tf.progress import bar_interval_s
from fcn_tf.training.stopping import Stopped

# A call of the compiled loop takes no longer, so that the bar moves and a stop is heard.
SECONDS_A_CALL = 1.0


def fit(run, place, folder, callbacks, signals, deadline):
    """Takes a run from its place to its end.

    Args:
        run: a `Run` that is fed from `place` on.
        place: a `Place`; it is kept up to date.
        folder: a `RunFolder`, or None on a machine that writes nothing.
        callbacks: `keras.callbacks`.
        signals: `StopSignals`.
        deadline: time.monotonic() at which to evaluate and to end.

    Raises:
        Stopped: a signal came, here or on another machine; nothing was saved for it.
        RunError: the loss is no number.
    """
    training = run.config.training
    progress = _Progress(place.step, training.max_steps)
    callbacks = keras.callbacks.CallbackList(list(callbacks), model=run.model)
    run.model.stop_training = False
    if folder and place.best_step == place.step:
        folder.save_model()  # the process may have ended before it did
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(place.epoch)
    finished = place.step >= training.max_steps and not _evaluation_is_due(place, training)
    while not finished:
        if folder:
            folder.profile(place.step)
        time_is_up = _train_until(
            _next_stop(place, training), run, place, progress, callbacks, signals, deadline
        )
        if folder:
            folder.profile(place.step)
        last = time_is_up or place.step >= training.max_steps
        evaluates = last or _evaluation_is_due(place, training)
        if place.losses and (evaluates or place.step % training.log_every_steps == 0):
            _log_training(run, place, folder)
        improved = evaluates and _evaluate(run, place, folder, progress, signals)
        saves = improved or last or place.step % training.checkpoint_every_steps == 0
        if folder and saves:
            folder.save_checkpoint(place)
            if improved:
                folder.save_model()
        if evaluates:
            callbacks.on_epoch_end(place.epoch - 1, progress.epoch_logs)
            (wishes,) = run.cluster.add_up([bool(run.model.stop_training)])
            finished = last or wishes > 0
            if folder and finished and not saves:
                folder.save_checkpoint(place)
            if not finished:
                callbacks.on_epoch_begin(place.epoch)
    callbacks.on_train_end()
    if place.step < training.max_steps:
        print(f"Ended after step {place.step}; --resume goes on from there.", flush=True)


def _train_until(stop, run, place, progress, callbacks, signals, deadline):
    """Takes steps up to `stop`, or until the time is up; returns whether it is."""
    progress.restart_clock()
    while place.step < stop:
        callbacks.on_train_batch_begin(place.step)
        call_steps = min(progress.call_steps, stop - place.step)
        losses, confusion = (x.numpy() for x in run.train_call(tf.constant(call_steps)))
        _check_finite(losses, place.step)
        place.step += call_steps
        place.samples += call_steps * run.samples_a_step
        place.losses.extend(map(float, losses))
        before = place.confusion
        place.confusion = (confusion + before if before else confusion).tolist()
        place.seconds += progress.end_call(call_steps)
        progress.show(
            place.step,
            loss=float(np.mean(place.losses)),
            mean_iou=_scores(place.confusion)["mean_iou"] or 0.0,
            images_per_s=_images_per_s(place, run),
        )
        callbacks.on_train_batch_end(place.step - 1, {"loss": float(losses[-1])})
        # The chief's clock counts on every machine: all have to take the same calls.
        clock = [time.monotonic() > deadline, progress.pace(run)]
        clock = clock if run.cluster.is_chief else [0, 0]
        votes = run.cluster.add_up([bool(signals.number), *clock])
        stopped, time_is_up, progress.call_steps = votes
        if stopped:
            raise Stopped
        if time_is_up:
            return True
    return False


def _log_training(run, place, folder):
    """Writes the line of the steps since the last one, and begins the next."""
    place.train_line = {
        "loss": float(np.mean(place.losses)),
        "learning_rate": run.learning_rate(),
        "images_per_second": round(_images_per_s(place, run), 3),
        **_scores(place.confusion),
    }
    if folder:
        folder.log.write({**_where(place, run), "split": "train", **place.train_line})
    place.losses, place.confusion, place.seconds = [], None, 0.0


def _evaluate(run, place, folder, progress, signals):
    """Scores val and notes it in `place`; returns whether it is the best so far."""

    def heed():
        if any(run.cluster.add_up([bool(signals.number)])):
            raise Stopped

    val_line = run.evaluate(heed)
    _check_finite([val_line["loss"]], place.step - 1)
    val_iou = val_line["mean_iou"] or 0.0
    if folder:
        folder.log.write({**_where(place, run), "split": "val", **val_line})
        folder.log.write_pictures(place.step, run.pictures())
    progress.show(place.step, val_mean_iou=val_iou)
    logs = {name: place.train_line[name] for name in ("loss", *SCORES)}
    logs |= {f"val_{name}": val_line[name] for name in ("loss", *SCORES)}
    progress.epoch_logs = {name: value for name, value in logs.items() if value is not None}
    place.epoch += 1
    place.evaluated_step = place.step
    improved = place.best_iou is None or val_iou > place.best_iou
    if improved:
        place.best_iou, place.best_step = val_iou, place.step
    return improved


class _Progress:
    """Keras' progress bar over the steps of this command; in a log file a line every half minute.

    Attributes:
        call_steps: how many steps the next call may take.
        epoch_logs: what Keras' callbacks are told of the last evaluation.
    """

    def __init__(self, step, max_steps):
        self.before = step
        self.values = {}
        self.call_steps = 1
        self.epoch_logs = {}
        self._calls, self._seconds_a_step = 0, 0.0
        self._mark = time.perf_counter()
        self.bar = keras.utils.Progbar(
            max_steps - step,
            interval=bar_interval_s(),
            stateful_metrics=["loss", "mean_iou", "images_per_s", "val_mean_iou"],
        )

    def restart_clock(self):
        """What was done since the last steps does not count as training."""
        self._mark = time.perf_counter()

    def pace(self, run):
        """How many steps a call should take by this machine's clock."""
        if self._calls < 2:  # the first one compiles
            return 1
        steps = int(SECONDS_A_CALL / self._seconds_a_step)
        return max(1, min(steps, run.config.training.steps_per_call))

    def end_call(self, steps):
        """Notes that a call of so many steps has ended; returns the seconds that it took."""
        now = time.perf_counter()
        seconds = now - self._mark
        self._mark = now
        self._seconds_a_step = seconds / steps
        self._calls += 1
        return seconds

    def show(self, step, **values):
        """Moves the bar; a value stands until the next one of its name."""
        done = step - self.before
        new_line = "val_mean_iou" in values and done == self.bar.target
        self.values |= values
        if done < self.bar.target or new_line:
            self.bar.update(done, list(self.values.items()), finalize=new_line)


def _evaluation_is_due(place, training):
    done = place.step == 0 or place.evaluated_step == place.step
    at_end = place.step >= training.max_steps
    return not done and (at_end or place.step % training.eval_every_steps == 0)


def _next_stop(place, training):
    """The step up to which nothing but training is to be done."""
    if _evaluation_is_due(place, training):
        return place.step
    periods = training.log_every_steps, training.eval_every_steps, training.checkpoint_every_steps
    stops = [(place.step // period + 1) * period for period in periods]
    first, last = training.profile_steps or (1, 0)
    stops += [step for step in (first - 1, last) if step > place.step]
    return min(training.max_steps, *stops)


def _where(place, run):
    """Where in the run a line of metrics.jsonl belongs."""
    return {
        "step": place.step,
        "epoch": round(place.samples / run.source.split_sizes["train"], 4),
    }


def _images_per_s(place, run):
    return len(place.losses) * run.samples_a_step / place.seconds


def _scores(confusion):
    """The four scores of a confusion matrix, None where undefined."""
    scores = scores_from_confusion(np.asarray(confusion, np.float64))
    plain = {name: float(scores[name]) for name in SCORES}
    return {name: None if math.isnan(value) else value for name, value in plain.items()}


def _check_finite(losses, steps_before):
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        raise RunError(
            f"The loss became {losses[bad[0]]} at step {steps_before + bad[0] + 1}: lower "
            "--optimizer.learning_rate, add --optimizer.warmup_steps or --optimizer.clip_norm. "
            "The last checkpoint is kept."
        )
