"""Rows of the paper's tables: what each one trains, how its runs are made, and what they show.

benchmarks/variants.py trains them on generated scenes, benchmarks/streets.py on photographs.
"""

import itertools
import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

from fcn_tf.training.stopping import handlers, set_handlers

ROOT = Path(__file__).parent.parent

# The options of `fcn-tf train` that the row names, the row whose run it starts from, and the mean
# IU in % that was published, on another data set, with its source.
Row = namedtuple("Row", "values start published", defaults=(None, ""))

CVPR = "Long et al. 2015, table"
RELEASE = "the authors' release"

ON_VGG16 = {
    "fcn32s": Row({"variant": "fcn32s"}, published=f"59.4 ({CVPR} 2)"),
    "fcn16s": Row({"variant": "fcn16s"}),
    "fcn8s": Row({"variant": "fcn8s"}),
    "fcn16s, staged": Row({"variant": "fcn16s"}, "fcn32s", f"62.4 ({CVPR} 2)"),
    "fcn8s, staged": Row({"variant": "fcn8s"}, "fcn16s, staged", f"62.7 ({CVPR} 2)"),
    "fcn8s_atonce": Row({"variant": "fcn8s_atonce"}, published=f"65.4, staged 65.5 ({RELEASE})"),
    "fcn8s, score layers alone": Row(
        {"variant": "fcn8s", "model.trainable": "score"}, published=f"32s: 45.4 ({CVPR} 2)"
    ),
    "fcn8s, a quarter of the pixels": Row({"variant": "fcn8s", "loss.sample_fraction": 0.25}),
    "fcn8s, upsampling fixed": Row({"variant": "fcn8s", "model.upsampling": "fixed"}),
    "fcn8s, upsampling learned_all": Row({"variant": "fcn8s", "model.upsampling": "learned_all"}),
    "fcn8s, upsampling nonlinear": Row({"variant": "fcn8s", "model.upsampling": "nonlinear"}),
    "fcn32s, output stride 8": Row({"variant": "fcn32s", "model.output_stride": 8}),
}
# The columns of the tables: the paper's four scores.
SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
MEAN_IU = SCORES.index("mean_iou")

# Rows whose mean IU rises from each to the next; or two that lie so many points apart at most.
Claim = namedtuple("Claim", "rows within", defaults=(None,))

CLAIMS = {
    "32s < 16s < 8s, staged": Claim(("fcn32s", "fcn16s, staged", "fcn8s, staged")),
    "score layers alone below all": Claim(("fcn8s, score layers alone", "fcn8s")),
    "at once within 1.5 points of staged": Claim(("fcn8s_atonce", "fcn8s, staged"), within=1.5),
    "a quarter of the pixels within 2 points": Claim(
        ("fcn8s, a quarter of the pixels", "fcn8s"), within=2
    ),
}


def is_met(claim, iou):
    """Whether a claim holds.

    Args:
        claim: a `Claim`.
        iou: the mean IU, in %, of each of its rows, by name.
    """
    values = [iou[name] for name in claim.rows]
    if claim.within is None:
        return all(low < high for low, high in itertools.pairwise(values))
    return abs(values[0] - values[1]) <= claim.within


def file_name(name, seed):
    """What the run of a row is called in a folder of runs."""
    return f"{name.replace(', ', '-').replace(' ', '_')}-seed{seed}"


def course(steps, seed):
    """The options of a run that is evaluated once, at its end."""
    return {"training.max_steps": steps, "training.eval_every_steps": steps, "seed": seed}


def train_run(recipe, workdir, values, overrides=()):
    """Trains in a process of its own, or goes on with a run that was stopped.

    A signal to stop is passed on. The run then saves its state, and this process ends as it does.

    Args:
        recipe: as `--config` of `fcn-tf train`.
        workdir: the run's folder.
        values: options by their dotted names.
        overrides: more of them, as the command line has them.
    """
    command = [sys.executable, ROOT / "train.py", "--config", recipe]
    command += [f"--workdir={workdir}", "--resume=auto"]
    command += [f"--{key}={value}" for key, value in values.items()]
    # In a session of its own it gets a signal once: a second one would end it before it has saved.
    with subprocess.Popen([*command, *overrides], start_new_session=True) as run:
        before = handlers()
        set_handlers(dict.fromkeys(before, lambda number, frame: run.send_signal(number)))
        code = run.wait()
        set_handlers(before)
    if code:
        sys.exit(code)


def report(workdir):
    """What scores.json of a finished run holds; None where the run has not ended."""
    path = workdir / "report/scores.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def score_cells(found):
    """The means of the four scores over the seeds, and the mean IU of each seed, as cells.

    Args:
        found: (seeds, 4), in %.
    """
    means = [f"{score:.1f}" for score in found.mean(axis=0)]
    return [*means, " / ".join(f"{iou:.1f}" for iou in found[:, MEAN_IU])]
