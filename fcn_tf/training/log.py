"""What a run measures: metrics.jsonl, and TensorBoard's files."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.config.files import METRICS_FILE
from fcn_tf.files import write_text
from fcn_tf.training.checkpoints import Place
from fcn_tf.training.event_files import drop_events

TENSORBOARD_DIR = "tensorboard"


class RunLog:
    """Writes lines to metrics.jsonl and to TensorBoard's files, and remembers them.

    Args:
        workdir: the run's folder.
        place: where the run goes on from; later lines are dropped, and later points of
            TensorBoard's curves.

    Attributes:
        path: that of metrics.jsonl.
        lines: the dicts written so far.
    """

    def __init__(self, workdir: str | Path, place: Place) -> None:
        self.path = Path(workdir) / METRICS_FILE
        self.lines: list[dict[str, Any]] = []
        if self.path.exists():
            self.lines = list(_lines_until(self.path, place))
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        self._writers = {}
        for split in ("train", "val"):
            folder = Path(workdir) / TENSORBOARD_DIR / split
            drop_events(folder, functools.partial(_is_kept, split=split, place=place))
            self._writers[split] = tf.summary.create_file_writer(str(folder))

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line: a dict of `step`, `split` and numbers, None where undefined."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        writer = self._writers[line["split"]]
        with writer.as_default(step=line["step"]):
            for key, value in line.items():
                if isinstance(value, (int, float)) and key != "step":
                    tf.summary.scalar(key, value)
        writer.flush()

    def write_pictures(self, step: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Writes pictures, uint8 (H, W, 3) by name, for TensorBoard's val page."""
        with self._writers["val"].as_default(step=step):
            for name, picture in pictures.items():
                tf.summary.image(name, picture[None])

    def close(self) -> None:
        """Closes TensorBoard's files."""
        for writer in self._writers.values():
            writer.close()


def _lines_until(path: Path, place: Place) -> Iterator[dict[str, Any]]:
    """The complete lines of a log that were written before a `Place`."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # a line that was not written to its end
            line = json.loads(text)
            if _is_kept(line["step"], line["split"], place):
                yield line


def _is_kept(step: int, split: str, place: Place) -> bool:
    """Whether what was logged of a step was logged before a `Place`."""
    # An evaluation that ended without a checkpoint is done again.
    repeated = split == "val" and place.evaluated_step != place.step
    return step < place.step or (step == place.step and not repeated)
