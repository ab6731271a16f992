"""What a run is resumed from: all its variables and its place, in one file per checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.errors import InputError, RunError
from fcn_tf.files import written_whole

CHECKPOINT_DIR = "checkpoints"
KEPT = 2  # if the newest is damaged, the one before is used
PLACE_MEMBER = "place.json"
RESUME_AS_IT_WAS = "Resume with the configuration of the run, or train in another --workdir."


@dataclass
class Place:
    """Where a run stands, as JSON holds it.

    Args:
        step: steps done.
        samples: training images drawn.
        epoch: evaluations done.
        best_iou: the best mean IU on val, None before the first evaluation.
        best_step: the step of the best mean IU.
        evaluated_step: the step of the last evaluation.
        without_gain: evaluations since the best mean IU; 0 in older checkpoints.
        train_line: the last line of the log about training.
        losses: one for each step since that line.
        confusion: (C, C) counts of the same steps, None if there are none.
        seconds: the time that these steps took.
        schedule: the arguments of the learning rate's `Schedule`; None in older checkpoints.
    """

    step: int = 0
    samples: int = 0
    epoch: int = 0
    best_iou: float | None = None
    best_step: int | None = None
    evaluated_step: int | None = None
    without_gain: int = 0
    train_line: dict[str, Any] | None = None
    losses: list[float] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    seconds: float = 0.0
    schedule: dict[str, Any] | None = None


def save_checkpoint(
    folder: str | Path, place: Place, values: Mapping[str, tf.Variable], about: dict[str, Any]
) -> None:
    """Writes a checkpoint whole, and removes all but the newest two.

    The file is a zip of .npy arrays, as numpy.savez writes it, and of `place.json`.

    Args:
        folder: the run's `checkpoints/`.
        place: where the run is.
        values: each `tf.Variable` by name.
        about: what tells this network from another, as JSON holds it.

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
                    "--optimizer.clip_norm. The last checkpoint is kept."
                )
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
        described = {"about": about, "names": [*values], "place": dataclasses.asdict(place)}
        file.writestr(PLACE_MEMBER, json.dumps(described))
    for path in checkpoints(folder)[:-KEPT]:
        path.unlink(missing_ok=True)


def restore_newest(
    folder: str | Path, values: Mapping[str, tf.Variable], about: dict[str, Any]
) -> Place | None:
    """Gives variables the values of the newest checkpoint that is not damaged.

    Args:
        folder: the run's `checkpoints/`.
        values, about: as they were saved.

    Returns:
        Where the run was, or None if there is no checkpoint.

    Raises:
        InputError: the checkpoint is of another network, or all are damaged.
    """
    damaged: list[Path] = []
    for path in reversed(checkpoints(folder)):
        with path.open("rb") as file:
            try:
                place = _restore(path, file, values, about)
            except InputError:
                raise
            except Exception as error:  # damaged zip files raise exceptions of many kinds
                print(f"{path} is damaged ({error}): going back to the one before.", flush=True)
                damaged.append(path)
                continue
        for other in damaged:  # renamed only now that there is another one to go on from
            other.replace(f"{other}.damaged")
        return place
    if damaged:
        raise InputError(f"{folder}: all checkpoints are damaged. Train in another --workdir.")
    return None


def checkpoints(folder: str | Path) -> list[Path]:
    """Paths of the checkpoints in a folder, oldest first."""
    return sorted(Path(folder).glob("step-*.npz"))


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.npz"


def _restore(
    path: Path, opened: IO[bytes], values: Mapping[str, tf.Variable], about: dict[str, Any]
) -> Place:
    """As `restore_newest`, from one file. It is read and checked before a variable changes."""
    with zipfile.ZipFile(opened) as file:
        saved = {name.removesuffix(".npy") for name in file.namelist()} - {PLACE_MEMBER}
        described = json.loads(file.read(PLACE_MEMBER))
        if saved != set(described["names"]):
            raise ValueError("its table of contents is wrong")
        known = {field.name for field in dataclasses.fields(Place)}
        place = Place(**{k: value for k, value in described["place"].items() if k in known})
        _check_same_network(path, described["about"], about)
        _check_same_names(path, saved, values.keys())
        arrays = {name: _read_array(file, name) for name in values}
    _check_same_shapes(path, arrays, values)
    for name, variable in values.items():
        variable.assign(arrays[name])
    return place


def _check_same_network(path: Path, saved: dict[str, Any], about: dict[str, Any]) -> None:
    for key, value in about.items():
        before = saved.get(key, value)
        if before != value:
            raise InputError(
                f"{path} has {key} {before}, but the configuration has {key} {value}. "
                f"{RESUME_AS_IT_WAS}"
            )


def _check_same_names(path: Path, saved: Set[str], wanted: Set[str]) -> None:
    differing = sorted(saved ^ wanted)
    if differing:
        name = differing[0]
        where = "only in the checkpoint" if name in saved else "not in the checkpoint"
        raise InputError(
            f"{path} is of another network or optimizer: {name} is {where}. {RESUME_AS_IT_WAS}"
        )


def _check_same_shapes(
    path: Path, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, tf.Variable]
) -> None:
    for name, variable in values.items():
        saved, shape = arrays[name].shape, tuple(variable.shape)
        if saved != shape:
            raise InputError(
                f"{path} is of another network: {name} has the shape {saved} in the checkpoint "
                f"and {shape} in the network. {RESUME_AS_IT_WAS}"
            )


def _read_array(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with file.open(f"{name}.npy") as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        member.read()  # to the end: only there does zipfile compare the checksum
        return array


@contextlib.contextmanager
def full_disk_as_run_error(folder: str | Path, values: Mapping[str, tf.Variable]) -> Iterator[None]:
    """Turns the error of a full disk into a `RunError` with the space that a checkpoint needs."""
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
            f"{_megabytes(free)} are free. Free some space and continue with --resume."
        ) from error


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
