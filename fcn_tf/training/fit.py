"""The course of a run: compiled calls of several steps, evaluations and checkpoints between."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.schema import TrainingConfig
from fcn_tf.counted import counted
from fcn_tf.data.faults import BrokenFile, data_errors_as
from fcn_tf.errors import RunError
from fcn_tf.evaluation.metrics import SCORES, scores_from_confusion
from fcn_tf.evaluation.tables import overall_scores, percent
from fcn_tf.files import shown_name
from fcn_tf.progress import bar_interval_s
from fcn_tf.training.checkpoints import Place
from fcn_tf.training.run import Run
from fcn_tf.training.stopping import Stopped, StopSignals
from fcn_tf.training.workdir import RunFolder

# A call of the compiled loop takes about this long at most: only between two calls does the
# bar move, and only there is a signal to stop noticed.
SECONDS_A_CALL = 1.0


@dataclass
class _Course:
    """What the functions of this file share; see `fit`."""

    run: Run
    place: Place
    folder: RunFolder | None
    callbacks: keras.callbacks.CallbackList
    signals: StopSignals
    deadline: float
    progress: _Progress
    skipped: int = 0  # the records of which it was said that they are skipped

    def say_skipped(self) -> None:
        """Says which images are skipped, if there are more than before."""
        skipped = self.run.source.skipped
        if skipped and (text := skipped.summary(already=self.skipped)):
            print(f"\n{shown_name(text)}", flush=True)
            self.skipped = len(skipped)


def fit(
    run: Run,
    place: Place,
    *,
    folder: RunFolder | None,
    callbacks: Iterable[keras.callbacks.Callback],
    signals: StopSignals,
    deadline: float,
) -> None:
    """Takes a run from its place to its end.

    Args:
        run: a run that is fed from `place` on.
        place: where the run is; it is kept up to date.
        folder: the files of the run, or None on a machine that writes nothing.
        callbacks: called as Keras' `fit` calls them; an epoch ends with an evaluation.
        signals: the signals that ask the run to stop.
        deadline: the time.monotonic() at which the run evaluates and ends.

    Raises:
        Stopped: a signal came, here or on another machine; nothing was saved for it.
        BrokenFile: a file of the data set cannot be used; `place` is the step before.
        RunError: the loss became NaN or infinite.
    """
    training = run.config.training
    course = _Course(
        run=run,
        place=place,
        folder=folder,
        callbacks=keras.callbacks.CallbackList(list(callbacks), model=run.model),
        signals=signals,
        deadline=deadline,
        progress=_Progress(place.step, training.max_steps),
    )
    run.model.stop_training = False
    if folder and place.best_step == place.step:
        folder.save_model()  # a process may have been killed between checkpoint and model
    course.callbacks.on_train_begin()
    course.callbacks.on_epoch_begin(place.epoch)
    at_end = place.step >= training.max_steps or _is_out_of_patience(place, training)
    finished = at_end and not _evaluation_is_due(place, training)
    while not finished:
        try:
            last = _take_steps(course)
        except Stopped:
            if _is_due(place.step, training.log_every_steps):
                _log_training(course)  # the resumed run begins behind this line
            raise
        if last or _evaluation_is_due(place, training):
            finished = _end_epoch(course, last)
        else:
            if _is_due(place.step, training.log_every_steps):
                _log_training(course)
            if folder and _is_due(place.step, training.checkpoint_every_steps):
                folder.save_checkpoint(place)
    course.callbacks.on_train_end()
    if place.step < training.max_steps:
        print(_why_ended(place, training), flush=True)


def _take_steps(course: _Course) -> bool:
    """Takes steps until something else is due, or the time is up.

    Returns:
        Whether the run ends here.
    """
    place, training = course.place, course.run.config.training
    if course.folder:
        course.folder.profile(place.step)
    course.progress.restart_clock()
    stop, time_is_up = _next_stop(place, training), False
    while place.step < stop and not time_is_up:
        course.callbacks.on_train_batch_begin(place.step)
        loss = _call_devices(course, steps=min(course.progress.call_steps, stop - place.step))
        course.callbacks.on_train_batch_end(place.step - 1, {"loss": loss})
        time_is_up = _agree(course)
    if course.folder:
        course.folder.profile(place.step)
    return time_is_up or place.step >= training.max_steps


def _call_devices(course: _Course, steps: int) -> float:
    """Takes so many steps in one compiled call; returns the loss of the last one."""
    run, place = course.run, course.place
    try:
        with data_errors_as(
            BrokenFile, run.source, lambda: run.coming_records(place.samples, steps)
        ):
            losses = _note_steps(course, *run.train_call(tf.constant(steps)))
    except BrokenFile:
        _note_steps(course, run.taken.losses, run.taken.confusion)
        raise
    course.progress.show(
        place.step,
        loss=float(np.mean(place.losses)),
        mean_iou=overall_scores(scores_from_confusion(place.confusion))["mean_iou"] or 0.0,
        images_per_s=_images_per_s(place, run),
    )
    return float(losses[-1])


def _note_steps(course: _Course, losses: Any, confusion: Any) -> NDArray[np.float32]:
    """Notes in the place what the steps of a call gave, as `Taken` has it; returns the losses."""
    run, place = course.run, course.place
    losses, confusion = losses.numpy(), confusion.numpy()
    _check_finite(losses, place.step)
    place.step += len(losses)
    place.samples += len(losses) * run.samples_a_step
    place.losses.extend(map(float, losses))
    before = place.confusion
    place.confusion = (confusion + before if before else confusion).tolist()
    place.seconds += course.progress.end_call(len(losses))
    return losses


def _agree(course: _Course) -> bool:
    """Agrees with the other machines on the steps of the next call, as all take the same.

    Returns:
        Whether the time is up, by the chief's clock.

    Raises:
        Stopped: a signal came to one of the machines.
    """
    run, progress = course.run, course.progress
    clock = [time.monotonic() > course.deadline, progress.pace(run.config.training.steps_per_call)]
    clock = clock if run.cluster.is_chief else [0, 0]
    stopped = course.signals.number is not None
    stops, time_is_up, progress.call_steps = run.cluster.sum_over_workers([stopped, *clock])
    if stops:
        raise Stopped
    return time_is_up > 0


def _end_epoch(course: _Course, last: bool) -> bool:
    """Evaluates, saves, and tells the callbacks.

    Args:
        course: what is evaluated.
        last: whether the run ends here anyway.

    Returns:
        Whether the run ends here, be it out of patience or because a callback asks for it.
    """
    run, place, folder = course.run, course.place, course.folder
    _log_training(course)
    improved = _evaluate(course)
    last = last or _is_out_of_patience(place, run.config.training)
    period = run.config.training.checkpoint_every_steps
    saves = improved or last or _is_due(place.step, period)
    if folder and saves:
        folder.save_checkpoint(place)
    if folder and improved:
        folder.save_model()
    course.callbacks.on_epoch_end(place.epoch - 1, course.progress.epoch_logs)
    (askers,) = run.cluster.sum_over_workers([bool(run.model.stop_training)])
    finished = last or askers > 0
    if folder and finished and not saves:
        folder.save_checkpoint(place)
    if not finished:
        course.callbacks.on_epoch_begin(place.epoch)
    return finished


def _log_training(course: _Course) -> None:
    """Writes the line of the steps since the last line, if there are any."""
    run, place = course.run, course.place
    if not place.losses:
        return
    place.train_line = {
        "loss": float(np.mean(place.losses)),
        "learning_rate": run.learning_rate(),
        "images_per_second": round(_images_per_s(place, run), 3),
        **overall_scores(scores_from_confusion(place.confusion)),
    }
    if course.folder:
        course.folder.log.write({**_position(place, run), "split": "train", **place.train_line})
    place.losses, place.confusion, place.seconds = [], None, 0.0


def _evaluate(course: _Course) -> bool:
    """Scores val and notes it in the place; returns whether it is the best mean IU so far."""
    run, place = course.run, course.place

    def stop_if_asked() -> None:
        if any(run.cluster.sum_over_workers([course.signals.number is not None])):
            raise Stopped

    if run.config.training.batch_norm_pass:
        with data_errors_as(BrokenFile, run.source, "train"):
            run.take_statistics(stop_if_asked)
    with data_errors_as(BrokenFile, run.source, "val"):
        val_line = run.evaluate(stop_if_asked)
        pictures = run.pictures() if course.folder else {}
    if val_line["loss"] is not None:
        _check_finite([val_line["loss"]], place.step - 1)
    val_iou = val_line["mean_iou"] or 0.0
    if course.folder:
        course.folder.log.write({**_position(place, run), "split": "val", **val_line})
        course.folder.log.write_pictures(place.step, pictures)
        course.say_skipped()
    course.progress.show(place.step, val_mean_iou=val_iou)
    assert place.train_line is not None  # an evaluation comes behind a line about training
    course.progress.epoch_logs = _keras_logs(place.train_line, val_line)
    place.epoch += 1
    place.evaluated_step = place.step
    improved = place.best_iou is None or val_iou > place.best_iou
    place.without_gain = 0 if improved else place.without_gain + 1
    if improved:
        place.best_iou, place.best_step = val_iou, place.step
    return improved


def _keras_logs(train_line: dict[str, Any], val_line: dict[str, Any]) -> dict[str, float]:
    """What Keras' callbacks are told of an evaluation: loss and scores, without undefined ones."""
    # The line may be that of an older checkpoint, which has fewer scores.
    logs = {name: train_line.get(name) for name in ("loss", *SCORES)}
    logs |= {f"val_{name}": val_line[name] for name in ("loss", *SCORES)}
    return {name: value for name, value in logs.items() if value is not None}


class _Progress:
    """Keras' progress bar over the steps of this command; in a log file a line every half minute.

    Attributes:
        call_steps: how many steps the next call may take.
        epoch_logs: what Keras' callbacks are told of the last evaluation.
    """

    def __init__(self, step: int, max_steps: int) -> None:
        self.call_steps = 1
        self.epoch_logs: dict[str, float] = {}
        self._first_step = step
        self._values: dict[str, float] = {}
        self._calls, self._seconds_a_step = 0, 0.0
        self._mark = time.perf_counter()
        self._bar = keras.utils.Progbar(
            max_steps - step,
            interval=bar_interval_s(),
            stateful_metrics=["loss", "mean_iou", "images_per_s", "val_mean_iou"],
        )

    def restart_clock(self) -> None:
        """Leaves out the time since the last call: it was not spent on training."""
        self._mark = time.perf_counter()

    def end_call(self, steps: int) -> float:
        """Notes that a call of so many steps has ended; returns the seconds that it took."""
        now = time.perf_counter()
        seconds = now - self._mark
        self._mark = now
        self._seconds_a_step = seconds / max(steps, 1)
        self._calls += 1
        return seconds

    def pace(self, at_most: int) -> int:
        """How many steps a call should take by this machine's clock."""
        if self._calls < 2:  # the first one compiles
            return 1
        return max(1, min(int(SECONDS_A_CALL / self._seconds_a_step), at_most))

    def show(self, step: int, **values: float) -> None:
        """Moves the bar to a step. A value is shown until the next one of its name."""
        done = step - self._first_step
        new_line = "val_mean_iou" in values and done == self._bar.target
        self._values |= values
        if done < self._bar.target or new_line:
            self._bar.update(done, list(self._values.items()), finalize=new_line)


def _is_due(step: int, period: int | None) -> bool:
    """Whether what is done every so many steps is done after this one."""
    return period is not None and step % period == 0


def _evaluation_is_due(place: Place, training: TrainingConfig) -> bool:
    if place.step in (0, place.evaluated_step):
        return False
    return place.step >= training.max_steps or _is_due(place.step, training.eval_every_steps)


def _is_out_of_patience(place: Place, training: TrainingConfig) -> bool:
    return training.patience is not None and place.without_gain >= training.patience


def _why_ended(place: Place, training: TrainingConfig) -> str:
    """What to say of a run that ends before its last step."""
    if not _is_out_of_patience(place, training):
        return f"Ended after step {place.step}; --resume continues from there."
    evaluations = counted(place.without_gain, "evaluation{}")
    return (
        f"Ended after step {place.step}: the mean IU on val has not risen in {evaluations} "
        f"(training.patience={training.patience}). The best is {percent(place.best_iou)} %, of "
        f"step {place.best_step}. To go on, add --resume and a larger --training.patience, or null."
    )


def _next_stop(place: Place, training: TrainingConfig) -> int:
    """The step up to which there is nothing to do but training."""
    if _evaluation_is_due(place, training):
        return place.step
    periods = training.log_every_steps, training.eval_every_steps, training.checkpoint_every_steps
    stops = [(place.step // period + 1) * period for period in periods if period]
    first, last = training.profile_steps or (1, 0)
    stops += [step for step in (first - 1, last) if step > place.step]
    return min(training.max_steps, *stops)


def _position(place: Place, run: Run) -> dict[str, float]:
    """The first columns of a line of metrics.jsonl: its step and its epoch."""
    return {
        "step": place.step,
        "epoch": round(place.samples / run.source.split_sizes["train"], 4),
    }


def _images_per_s(place: Place, run: Run) -> float:
    return len(place.losses) * run.samples_a_step / place.seconds


def _check_finite(losses: Sequence[float], steps_before: int) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        raise RunError(
            f"The loss became {losses[bad[0]]} at step {steps_before + bad[0] + 1}: lower "
            "--optimizer.learning_rate, add --optimizer.warmup_steps or --optimizer.clip_norm. "
            "The last checkpoint is kept."
        )
