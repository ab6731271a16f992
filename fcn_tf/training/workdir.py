"""A run's folder: chosen, locked and made; and the files that a run writes to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock
import tensorflow as tf

from fcn_tf.config.files import (
    RUN_CONFIG_FILE,
    dump_config,
    recipe_name,
    with_absolute_paths,
)
from fcn_tf.config.schema import Config
from fcn_tf.errors import InputError
from fcn_tf.evaluation.figures import learning_curve
from fcn_tf.evaluation.report import CURVE_FILE, REPORT_DIR
from fcn_tf.files import is_unfinished, remove_unfinished, write_text
from fcn_tf.images.figures import write_figure
from fcn_tf.models import save_model
from fcn_tf.models.saving import MODEL_FILE
from fcn_tf.training.checkpoints import CHECKPOINT_DIR, Place, checkpoints, save_checkpoint
from fcn_tf.training.log import TENSORBOARD_DIR, RunLog
from fcn_tf.training.run import Run
from fcn_tf.version import __version__

LOCK_FILE = ".lock"


def default_workdir(config_path: str | Path | None, variant: str, resume: str = "never") -> Path:
    """The first of runs/NAME, runs/NAME-2, … that does not exist; to resume, the last that does.

    Args:
        config_path: the YAML file that the run was configured with, or None.
        variant: the network's variant.
        resume: as in `Config`.

    Returns:
        The path. NAME is <config>-<variant>, or <config> where that ends with the variant. For
        the config.yaml of a run, NAME is that of its folder. If there is nothing to resume, it
        is the first path that does not exist.
    """
    if config_path is None:
        name = f"own-{variant}"
    elif Path(config_path).name == RUN_CONFIG_FILE:
        name = Path(config_path).absolute().parent.name
    else:
        name = recipe_name(config_path).replace("/", "-")  # paper-fcn8s
        name = name if name.endswith(variant) else f"{name}-{variant}"
    last, number = None, 1
    while (path := Path("runs", name if number == 1 else f"{name}-{number}")).exists():
        last, number = path, number + 1
    return path if resume == "never" or last is None else last


def check_workdir(workdir: str | Path, resume: str = "never") -> bool:
    """Refuses a folder that a new run would write over, or that has nothing to resume.

    Returns:
        Whether there is a checkpoint to go on from.

    Raises:
        InputError: the folder is refused.
    """
    workdir = Path(workdir)
    if (workdir / RUN_CONFIG_FILE).is_file():
        if resume == "never":
            raise InputError(
                f"workdir={workdir} holds a run and is left alone: continue it with --resume, "
                "choose another --workdir, or remove it."
            )
        if checkpoints(workdir / CHECKPOINT_DIR):
            return True
        # A run writes a checkpoint before its first model. So the checkpoints were removed, and
        # a run that begins anew would write over the model.
        if (workdir / MODEL_FILE).exists():
            raise InputError(
                f"workdir={workdir} holds a model but no checkpoint to go on from: choose another "
                "--workdir; --init_from takes the model's weights."
            )
    elif workdir.exists() and not _is_empty(workdir):
        raise InputError(
            f"workdir={workdir} is not an empty folder and is left alone: choose another "
            "--workdir, or remove it."
        )
    elif resume == "always":
        raise InputError(
            f"workdir={workdir} holds no run to resume: name its --workdir, or leave --resume out."
        )
    return False


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds at most what a process leaves that is killed before it begins."""
    return folder.is_dir() and all(
        path.name == LOCK_FILE or is_unfinished(path) for path in folder.iterdir()
    )


@contextlib.contextmanager
def locked(workdir: str | Path) -> Iterator[None]:
    """Makes a folder if it does not exist, and keeps other processes from it inside the block.

    Raises:
        InputError: it cannot be made, or another process trains in it.
    """
    path = Path(workdir) / LOCK_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise InputError(f"workdir={workdir} cannot be made: {error.strerror}.") from error
    # The system frees the lock of a process that is killed. A soft lock would stay.
    lock = filelock.FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(f"workdir={workdir}: another process trains in it.") from error
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()


def write_config(workdir: str | Path, config: Config) -> None:
    """Writes config.yaml, and removes the unfinished files of a killed process.

    Its paths are absolute, so that the run can be evaluated and resumed from every folder.
    """
    remove_unfinished(workdir)
    text = dump_config(with_absolute_paths(config), __version__)
    write_text(Path(workdir) / RUN_CONFIG_FILE, text)


class RunFolder:
    """The files of a run. Only the chief has one.

    Args:
        workdir: the folder.
        run: the run.
        place: where it goes on from; later lines of its log are dropped.
    """

    def __init__(self, workdir: str | Path, run: Run, place: Place) -> None:
        self.workdir = Path(workdir)
        self.run = run
        self.log = RunLog(workdir, place)
        self._profiling = False

    def save_model(self) -> None:
        """Writes model.keras, with the averaged weights if there are any."""
        with self.run.average.in_place():
            save_model(self.run.model, self.workdir / MODEL_FILE)

    def save_checkpoint(self, place: Place) -> None:
        """Writes a checkpoint of the run.

        Raises:
            RunError: a weight is NaN or infinite.
        """
        folder = self.workdir / CHECKPOINT_DIR
        save_checkpoint(folder, place, self.run.variables, self.run.about)

    def profile(self, step: int) -> None:
        """Begins or ends the profile for TensorBoard, where `profile_steps` asks for it.

        Args:
            step: number of steps done. Call this at each step of `profile_steps`.
        """
        first, last = self.run.config.training.profile_steps or (0, 0)
        if not self._profiling and first - 1 <= step < last:
            tf.profiler.experimental.start(str(self.workdir / TENSORBOARD_DIR))
            self._profiling = True
        elif self._profiling and step >= last:
            self._end_profile()

    def draw_curve(self) -> None:
        """Draws the learning curve up to now."""
        if self.log.lines:
            curve = self.workdir / REPORT_DIR / CURVE_FILE
            write_figure(curve, learning_curve(self.log.lines))

    def close(self) -> None:
        """Ends a profile that still runs, and closes the log."""
        try:
            if self._profiling:
                self._end_profile()
        finally:
            self.log.close()

    def _end_profile(self) -> None:
        self._profiling = False
        tf.profiler.experimental.stop()
        print(f"\nProfile written to {self.workdir / TENSORBOARD_DIR}.", flush=True)
