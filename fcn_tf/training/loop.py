"""A run from its configuration to its report: devices, folder, resuming, stops."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path

import keras
import tensorflow as tf

from fcn_tf.data import open_source
from fcn_tf.data.faults import named_as
from fcn_tf.errors import InputError, RunError
from fcn_tf.models.saving import MODEL_FILE
from fcn_tf.predictor import Predictor
from fcn_tf.scoring import REPORT_DIR, write_report
from fcn_tf.training.checkpoints import CHECKPOINT_DIR, Place, disk_space_named, restore_newest
from fcn_tf.training.distribution import make_cluster
from fcn_tf.training.fit import fit
from fcn_tf.training.folder import RunFolder
from fcn_tf.training.run import Run
from fcn_tf.training.start import check_start
from fcn_tf.training.state import check_workdir, default_workdir, locked, write_config
from fcn_tf.training.stopping import Stopped, StopSignals


def train(config, workdir=None, callbacks=()):
    """Trains a network, keeps the best one by the mean IU on val, and reports its scores.

    On several machines each calls it; one of them, the chief, writes the files.

    Args:
        config: a `Config`.
        workdir: the run's folder; default config.workdir, or the first free
            runs/own-VARIANT.
        callbacks: `keras.callbacks`. An epoch is the time between two evaluations;
            its logs are loss and the four scores of the last `log_every_steps`, and
            those of val as val_loss, val_mean_iou, …; what is undefined is left out.
            A batch is a call of up to `steps_per_call` steps.

    Returns:
        Path of the run's folder.

    Raises:
        InputError: the configuration or the data cannot be used; nothing was written.
        RunError: the loss or a weight became NaN or infinite, the disk is full, memory
            ran out, or another machine is gone.
    """
    deadline = time.monotonic() + 60 * (config.training.max_minutes or math.inf)
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Training runs on Keras' TensorFlow backend, but KERAS_BACKEND is "
            f"{keras.backend.backend()}: unset it."
        )
    cluster = make_cluster(config.distribution)
    workdir = workdir or config.workdir or default_workdir(None, config.variant, config.resume)
    workdir = Path(workdir)
    with cluster.lost_peers_named(), _memory_named():
        resumed = cluster.is_chief and check_workdir(workdir, config.resume)
        if cluster.is_chief and not resumed:
            check_start(config)
        source = _open_source(config, cluster)
        # Only now: what prepares a data set draws random numbers too.
        keras.utils.set_random_seed(config.seed)
        if config.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        with named_as(InputError):  # met while the classes are counted
            run = Run(config, source, cluster, fresh=not resumed)
        with contextlib.ExitStack() as stack, named_as(RunError):
            place, folder = Place(), None
            if cluster.is_chief:
                stack.enter_context(locked(workdir))
                stack.enter_context(disk_space_named(workdir, run.variables))
                place = _restore(workdir, config, run)
                folder = RunFolder(workdir, run, place)
                stack.callback(folder.close)
            place = Place(**cluster.told_by_chief(dataclasses.asdict(place)))
            cluster.take_from_chief(run.variables.values())
            run.feed(place.samples)
            _fit_until_stopped(run, place, folder, callbacks, deadline)
            if cluster.is_chief:
                predictors = {str(workdir): Predictor(workdir)}
                write_report(predictors, source, "val", workdir / REPORT_DIR)
    return workdir


def _open_source(config, cluster):
    """The data; on several machines the chief prepares them first, as the disk may be shared."""
    source = open_source(config.data) if cluster.is_chief else None
    cluster.add_up([0])  # the others wait here
    return source or open_source(config.data)


def _restore(workdir, config, run):
    """Gives the run its newest state, if there is one; returns its `Place`. Writes config.yaml."""
    place = None
    # Again, now that no other process can change it.
    if check_workdir(workdir, config.resume):
        place = restore_newest(workdir / CHECKPOINT_DIR, run.variables, run.about)
    write_config(workdir, config)
    print(f"Run folder: {workdir}", flush=True)
    if place:
        print(f"Resumed after step {place.step} of {config.training.max_steps}.", flush=True)
    return place or Place()


def _fit_until_stopped(run, place, folder, callbacks, deadline):
    """Runs the steps; a signal to stop is obeyed once the state is saved."""
    with StopSignals() as signals:
        try:
            fit(run, place, folder, callbacks, signals, deadline)
        except Stopped:
            if folder:
                print(f"\nStopping: saving the state after step {place.step} …", flush=True)
                folder.save_checkpoint(place)
                if not (folder.workdir / MODEL_FILE).exists():
                    folder.save_model()
                print(f"Saved. To go on: --resume --workdir {folder.workdir}", flush=True)
            if signals.number is None:
                raise RunError(
                    f"Another machine was told to stop; the state after step {place.step} is saved."
                ) from None
        except BaseException:
            if folder:
                with contextlib.suppress(Exception):  # the first error is the one to show
                    folder.draw_curve()
            raise
        if folder:
            folder.draw_curve()
        if signals.number is not None:
            signals.obey()


@contextlib.contextmanager
def _memory_named():
    """Turns what is raised when memory runs out into a `RunError` that says what to lower."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise RunError(
            "Out of memory: lower --data.batch_size (and raise --training.accumulate_steps), "
            "--data.crop_px or --model.width."
        ) from error
