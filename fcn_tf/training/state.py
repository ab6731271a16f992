"""The run folder: its place, its log, and what it was configured with."""

import json
from pathlib import Path

import tensorflow as tf

from fcn_tf.config_files import RUN_CONFIG_FILE, dump_config, recipe_name
from fcn_tf.errors import InputError
from fcn_tf.files import write_text
from fcn_tf.version import __version__

METRICS_FILE = "metrics.jsonl"


def default_workdir(config_path, variant):
    """The first free one of runs/NAME, runs/NAME-2, …

    Args:
        config_path: the YAML file that the run was configured with, or None.
        variant: the network's variant.

    Returns:
        Path; NAME is <config>-<variant>, the variant said once, or that of the run whose
        config.yaml it is.
    """
    if config_path is None:
        name = f"own-{variant}"
    elif Path(config_path).name == RUN_CONFIG_FILE:
        name = Path(config_path).absolute().parent.name
    else:
        name = recipe_name(config_path).replace("/", "-")  # paper-fcn8s
        name = name if name.endswith(variant) else f"{name}-{variant}"
    number = 1
    while (path := Path("runs", name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def check_workdir(workdir):
    """Refuses a folder that a new run would write over.

    Raises:
        InputError: it is there already and is not empty.
    """
    workdir = Path(workdir)
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        what = "holds a run" if (workdir / RUN_CONFIG_FILE).exists() else "is not an empty folder"
        raise InputError(
            f"workdir={workdir} {what} and is left alone: choose another --workdir, or remove it."
        )


def create_run_dir(workdir, config):
    """Makes the folder of a new run, with config.yaml in it.

    Raises:
        InputError: it cannot be made.
    """
    check_workdir(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_text(workdir / RUN_CONFIG_FILE, dump_config(config, __version__))
    except OSError as error:
        raise InputError(f"workdir={workdir} cannot be made: {error.strerror}.") from error


class RunLog:
    """Writes what is measured to metrics.jsonl and for TensorBoard, and keeps it.

    Attributes:
        lines: the dicts written so far.
    """

    def __init__(self, workdir):
        self.path = Path(workdir) / METRICS_FILE
        self.lines = []
        self._writers = {
            split: tf.summary.create_file_writer(str(Path(workdir) / "tensorboard" / split))
            for split in ("train", "val")
        }

    def write(self, line):
        """Appends a line; `line` has `step`, `split` and numbers, None where undefined."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        writer = self._writers[line["split"]]
        with writer.as_default(step=line["step"]):
            for key, value in line.items():
                if isinstance(value, (int, float)) and key != "step":
                    tf.summary.scalar(key, value)
        writer.flush()

    def write_pictures(self, step, pictures):
        """Shows pictures, uint8 (H, W, 3) by name, on TensorBoard's val page."""
        with self._writers["val"].as_default(step=step):
            for name, picture in pictures.items():
                tf.summary.image(name, picture[None])

    def close(self):
        for writer in self._writers.values():
            writer.close()
