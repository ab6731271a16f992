"""What a run writes: its log, its best model, its checkpoints, its learning curve."""

import contextlib
import json
from pathlib import Path

import tensorflow as tf

from fcn_tf.drawing import write_figure
from fcn_tf.evaluation.figures import learning_curve
from fcn_tf.files import write_text
from fcn_tf.models import save_model
from fcn_tf.models.saving import MODEL_FILE
from fcn_tf.scoring import CURVE_FILE, REPORT_DIR
from fcn_tf.training.checkpoints import CHECKPOINT_DIR, save_checkpoint

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIR = "tensorboard"


class RunFolder:
    """The files of a run, written by the chief alone.

    Args:
        workdir: the folder.
        run: a `Run`.
        place: the `Place` that it goes on from; lines of the log past it are dropped.
    """

    def __init__(self, workdir, run, place):
        self.workdir = Path(workdir)
        self.run = run
        self.log = RunLog(workdir, place)
        self._profiling = False

    def save_model(self):
        """Writes model.keras: the averaged weights, where there are any."""
        with self.run.average.in_place():
            save_model(self.run.model, self.workdir / MODEL_FILE)

    def save_checkpoint(self, place):
        """Writes a checkpoint of the run at its `Place`."""
        folder = self.workdir / CHECKPOINT_DIR
        save_checkpoint(folder, place, self.run.variables, self.run.about)

    def profile(self, step):
        """Begins and ends the profile for TensorBoard, if one is wanted; call it at each step."""
        first, last = self.run.config.training.profile_steps or (0, 0)
        if not self._profiling and first - 1 <= step < last:
            tf.profiler.experimental.start(str(self.workdir / TENSORBOARD_DIR))
            self._profiling = True
        elif self._profiling and step >= last:
            self._end_profile()

    def draw_curve(self):
        """Draws the learning curve so far."""
        if self.log.lines:
            curve = self.workdir / REPORT_DIR / CURVE_FILE
            write_figure(curve, learning_curve(self.log.lines))

    def close(self):
        """Ends what was not ended and closes the log."""
        try:
            if self._profiling:
                self._end_profile()
        finally:
            self.log.close()

    def _end_profile(self):
        self._profiling = False
        tf.profiler.experimental.stop()
        print(f"\nProfile written to {self.workdir / TENSORBOARD_DIR}.", flush=True)


class RunLog:
    """Writes what is measured to metrics.jsonl and for TensorBoard, and keeps it.

    Args:
        workdir: the run's folder.
        place: the `Place` that the run goes on from; lines past it are dropped.

    Attributes:
        lines: the dicts written so far.
    """

    def __init__(self, workdir, place):
        self.path = Path(workdir) / METRICS_FILE
        self.lines = []
        if self.path.exists():
            self.lines = list(_lines_until(self.path, place))
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        self._writers = {
            split: tf.summary.create_file_writer(str(Path(workdir) / TENSORBOARD_DIR / split))
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


def _lines_until(path, place):
    """The whole lines of a log up to a `Place`."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # a line that was not written to its end
            line = json.loads(text)
            # An evaluation that ended without a checkpoint is done again.
            undone = line["split"] == "val" and place.evaluated_step != place.step
            if line["step"] < place.step or (line["step"] == place.step and not undone):
                yield line
