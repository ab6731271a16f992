"""A run from its configuration to its report: devices, folder, resuming, stops."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from fcn_tf.config.networks import unused_settings
from fcn_tf.config.schema import Config
from fcn_tf.data import open_source
from fcn_tf.data.faults import BrokenFile, data_errors_as
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError, RunError
from fcn_tf.evaluation.card import write_card
from fcn_tf.evaluation.report import REPORT_DIR, write_report
from fcn_tf.inference.predictor import Predictor
from fcn_tf.models.saving import MODEL_FILE
from fcn_tf.training.checkpoints import (
    CHECKPOINT_DIR,
    Place,
    full_disk_as_run_error,
    restore_newest,
)
from fcn_tf.training.distribution import Cluster, make_cluster
from fcn_tf.training.fit import fit
from fcn_tf.training.losses import check_loss
from fcn_tf.training.run import Run
from fcn_tf.training.start import check_start
from fcn_tf.training.stopping import Stopped, StopSignals
from fcn_tf.training.workdir import RunFolder, check_workdir, default_workdir, locked, write_config

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow reads it when it is imported


def train(
    config: Config,
    workdir: str | Path | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
) -> Path:
    """Trains a network, keeps the best one by the mean IU on val, and reports its scores.

    On several machines each calls it; one of them, the chief, writes the files.

    Args:
        config: all that is configured.
        workdir: the run's folder; default config.workdir, or the first of runs/own-VARIANT,
            runs/own-VARIANT-2, … that does not exist.
        callbacks: called as Keras' `fit` calls them. An epoch is the time between two
            evaluations. Its logs are the loss and the scores of the last line of the log
            about training, and those of val as val_loss, val_mean_iou and so on, without
            undefined ones. A batch is a call of up to `steps_per_call` steps.

    Returns:
        Path of the run's folder.

    Raises:
        InputError: the configuration or the data cannot be used; nothing was written.
        RunError: the loss or a weight became NaN or infinite, the disk is full, memory
            ran out, or another machine ended.

    Example:
        >>> config = fcn_tf.load_config("shapes", **{"training.max_steps": 500})
        >>> fcn_tf.train(config, "runs/mine")
    """
    deadline = time.monotonic() + 60 * (config.training.max_minutes or math.inf)
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Training runs on Keras' TensorFlow backend, but KERAS_BACKEND is "
            f"{keras.backend.backend()}: unset it."
        )
    check_loss(config.loss.name)
    cluster = make_cluster(config.distribution)
    workdir = workdir or config.workdir or default_workdir(None, config.variant, config.resume)
    workdir = Path(workdir)
    with cluster.lost_peers_as_run_error(), _out_of_memory_as_run_error():
        resumed = cluster.is_chief and check_workdir(workdir, config.resume)
        if cluster.is_chief and not resumed:
            check_start(config)
        if cluster.is_chief:
            for sentence in unused_settings(config.network):
                print(sentence, flush=True)
            # With oneDNN some starts take other last bits: benchmarks/same_bits.py counts them.
            if config.training.deterministic and os.environ.get(ONEDNN) != "0":
                print(
                    "training.deterministic: on a processor the last bits can still differ from "
                    f"run to run. Set {ONEDNN}=0 before the command for the same bits.",
                    flush=True,
                )
        source = _open_source(config, cluster)
        # Only now: what prepares a data set draws random numbers, too.
        keras.utils.set_random_seed(config.seed)
        if config.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        # For a broken file that is found while classes are counted.
        with data_errors_as(InputError, source, "train"):
            run = Run(config, source, cluster, fresh=not resumed)
        with data_errors_as(RunError, source, "val"), _prepared(run, workdir) as (place, folder):
            with StopSignals() as signals:
                _fit_and_save(
                    run,
                    place,
                    folder=folder,
                    callbacks=callbacks,
                    signals=signals,
                    deadline=deadline,
                )
                signals.obey()
            if cluster.is_chief:
                predictors = {str(workdir): Predictor(workdir)}
                write_report(predictors, source, "val", workdir / REPORT_DIR)
                write_card(workdir, run.model)
    return workdir


def _open_source(config: Config, cluster: Cluster) -> Source:
    """The data set. The chief prepares it first, as machines may share a disk."""
    source = open_source(config.data) if cluster.is_chief else None
    cluster.wait_for_workers()
    return source or open_source(config.data)


@contextlib.contextmanager
def _prepared(run: Run, workdir: Path) -> Iterator[tuple[Place, RunFolder | None]]:
    """Locks a run's folder, restores its newest state on every machine, and feeds the run.

    Yields:
        Where the run is, and on the chief its files.
    """
    cluster = run.cluster
    with contextlib.ExitStack() as stack:
        place, folder = Place(), None
        if cluster.is_chief:
            stack.enter_context(locked(workdir))
            stack.enter_context(full_disk_as_run_error(workdir, run.variables))
            place = _restore(workdir, run)
            folder = RunFolder(workdir, run, place)
            stack.callback(folder.close)
        place = Place(**cluster.broadcast_from_chief(dataclasses.asdict(place)))
        cluster.copy_variables_from_chief(run.variables.values())
        run.feed(place.samples)
        yield place, folder


def _restore(workdir: Path, run: Run) -> Place:
    """Gives the run its newest state, if there is one, and writes config.yaml."""
    place = None
    # Checked again, now that no other process can change the folder.
    if check_workdir(workdir, run.config.resume):
        place = restore_newest(workdir / CHECKPOINT_DIR, run.variables, run.about)
    write_config(workdir, run.config)
    print(f"Run folder: {workdir}", flush=True)
    if place:
        print(f"Resumed after step {place.step} of {run.config.training.max_steps}.", flush=True)
        change = place.schedule and run.rate_change(place.schedule, place.step)
        if change:
            print(change, flush=True)
    place = place or Place()
    place.schedule = run.schedule.get_config()
    return place


def _fit_and_save(
    run: Run,
    place: Place,
    *,
    folder: RunFolder | None,
    callbacks: Iterable[keras.callbacks.Callback],
    signals: StopSignals,
    deadline: float,
) -> None:
    """As `fit`; at a signal it saves the state of the run, and it draws the learning curve.

    Raises:
        RunError: as `fit`, or a signal came to another machine.
    """
    try:
        fit(
            run,
            place,
            folder=folder,
            callbacks=callbacks,
            signals=signals,
            deadline=deadline,
        )
    except Stopped:
        if folder:
            _save_at_stop(folder, place)
        if signals.number is None:
            raise RunError(
                f"Another machine was told to stop; the state after step {place.step} is saved."
            ) from None
    except BrokenFile as error:
        if folder:
            _save_at_stop(folder, place)
        raise RunError(
            f"{error} Once this file is mended, --resume goes on after step {place.step}; with "
            "--data.broken skip it goes on without such files."
        ) from error
    except BaseException:
        if folder:
            with contextlib.suppress(Exception):  # the first error is the one to show
                folder.draw_curve()
        raise
    if folder:
        folder.draw_curve()


def _save_at_stop(folder: RunFolder, place: Place) -> None:
    """Saves a checkpoint, and a model if there is none yet."""
    print(f"\nStopping: saving the state after step {place.step} …", flush=True)
    folder.save_checkpoint(place)
    if not (folder.workdir / MODEL_FILE).exists():
        folder.save_model()
    print(f"Saved. To continue: --resume --workdir {folder.workdir}", flush=True)


@contextlib.contextmanager
def _out_of_memory_as_run_error() -> Iterator[None]:
    """Turns the error of a full memory into a `RunError` that says what to lower."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise RunError(
            "Out of memory: lower --data.batch_size (and raise --training.accumulate_steps), "
            "--data.crop_px or --model.width."
        ) from error
