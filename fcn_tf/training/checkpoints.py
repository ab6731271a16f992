"""What a run goes on from: all its variables and its place, in one file a checkpoint."""

import contextlib
import dataclasses
import errno
import json
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from fcn_tf.errors import InputError, RunError
from fcn_tf.files import written_whole

CHECKPOINT_DIR = "checkpoints"
KEPT = 2  # should the newest be torn, there is one before
PLACE_MEMBER = "place.json"


@dataclass
class Place:
    """Where a run stands, as JSON holds it.

    Args:
        step: steps taken.
        samples: training images drawn.
        epoch: evaluations done.
        best_iou: the best mean IU on val, None before the first.
        best_step: its step.
        evaluated_step: the step of the last evaluation.
        train_line: what was last logged of training.
        losses: of the steps since the last line of the log.
        confusion: (C, C) counts of the same steps.
        seconds: that they took.
    """

    step: int = 0
    samples: int = 0
    epoch: int = 0
    best_iou: float | None = None
    best_step: int | None = None
    evaluated_step: int | None = None
    train_line: dict | None = None
    losses: list[float] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    seconds: float = 0.0


def save_checkpoint(folder, place, values, about):
    """Writes a checkpoint whole and removes all but the newest few.

    A file is a zip of .npy arrays, as numpy.savez writes, and `place.json`.

    Args:
        folder: the run's `checkpoints/`.
        place: a `Place`.
        values: dict of `tf.Variable` by name.
        about: dict that JSON holds, which tells the network from another.

    Raises:
        RunError: a weight is NaN or infinite.
    """
    folder = Path(folder)
    with (
        written_whole(_path(folder, place.step)) as beside,
        zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as file,
    ):
        for name, variable in values.items():
            value = variable.numpy()
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                raise RunError(
                    f"{name} has NaN or infinite values after step {place.step}: lower "
                    "--optimizer.learning_rate, add --optimizer.warmup_steps or "
                    "--optimizer.clip_norm. The checkpoint before is kept."
                )
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
        stands = {"about": about, "names": [*values], "place": dataclasses.asdict(place)}
        file.writestr(PLACE_MEMBER, json.dumps(stands))
    for path in checkpoints(folder)[:-KEPT]:
        path.unlink(missing_ok=True)


def restore_newest(folder, values, about):
    """Gives variables their values of the newest whole checkpoint.

    Args:
        folder: the run's `checkpoints/`.
        values, about: as saved.

    Returns:
        The `Place`, or None if there is no checkpoint.

    Raises:
        InputError: the checkpoint is of another network, or none is whole.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        with path.open("rb") as file:
            try:
                place = _restore(path, file, values, about)
            except InputError:
                raise
            except Exception as error:  # a zip with other bytes than were written raises many
                print(f"{path} is damaged ({error}): going back to the one before.", flush=True)
                damaged.append(path)
                continue
        for other in damaged:  # out of the way, now that there is something to go on from
            other.rename(f"{other}.damaged")
        return place
    if damaged:
        raise InputError(f"{folder} holds no whole checkpoint: train anew in another --workdir.")
    return None


def checkpoints(folder):
    """Paths of the checkpoints in a folder, oldest first."""
    return sorted(Path(folder).glob("step-*.npz"))


def _path(folder, step):
    return folder / f"step-{step:09d}.npz"


def _restore(path, opened, values, about):
    with zipfile.ZipFile(opened) as file:
        saved = {name.removesuffix(".npy") for name in file.namelist()} - {PLACE_MEMBER}
        stands = json.loads(file.read(PLACE_MEMBER))
        if saved != set(stands["names"]):
            raise ValueError("its table of contents is wrong")
        known = {field.name for field in dataclasses.fields(Place)}
        place = Place(**{key: value for key, value in stands["place"].items() if key in known})
        for key, value in about.items():
            there = stands["about"].get(key, value)
            if there != value:
                raise InputError(
                    f"{path} has {key} {there}, but {key} {value} is asked for. "
                    "Resume with the configuration of the run, or train in another --workdir."
                )
        only = sorted(saved ^ values.keys())
        if only:
            where = "only in the checkpoint" if only[0] in saved else "not in the checkpoint"
            raise InputError(
                f"{path} is of another network or optimizer: {only[0]} is {where}. Resume with "
                "the configuration of the run, or train in another --workdir."
            )
        # Everything is read before anything is changed.
        arrays = {name: _read_array(file, name) for name in values}
    for name, variable in values.items():
        shape = tuple(variable.shape)
        if arrays[name].shape != shape:
            raise InputError(
                f"{path} is of another network: {name} is {arrays[name].shape} there and {shape} "
                "here. Resume with the configuration of the run, or train in another --workdir."
            )
    for name, variable in values.items():
        variable.assign(arrays[name])
    return place


def _read_array(file, name):
    with file.open(f"{name}.npy") as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        member.read()  # to the end, where the checksum is compared
        return array


@contextlib.contextmanager
def disk_space_named(folder, values):
    """Turns a full disk into a `RunError` that says what a checkpoint of `values` needs."""
    try:
        yield
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not (full or "No space left" in str(error)):
            raise
        needed = sum(variable.numpy().nbytes for variable in values.values())
        free = shutil.disk_usage(folder).free
        raise RunError(
            f"The disk of {folder} is full: a checkpoint needs {_megabytes(needed)} and "
            f"{_megabytes(free)} are free. Make room and go on with --resume."
        ) from error


def _megabytes(size):
    return f"{size / 1e6:,.1f} MB"
