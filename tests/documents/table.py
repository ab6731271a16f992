"""What each page needs, which sizes are changed, and what is not run, with the reason.

The tests of tests/test_documents.py hold that every step of every page is run or has its reason,
and that nothing in this table is left over. Of a `fcn-tf train` that is not run the options are
checked still: they have to make a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.documents.blocks import Step, steps_of

ROOT = Path(__file__).parent.parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
# The networks of the pages; a command gets them as options, a snippet as names.
WIDTH, HEAD_UNITS = 0.0625, 8
NARROW = {"width": WIDTH, "head_units": HEAD_UNITS}
TOY = {
    "training.max_steps": 2,
    "model.width": WIDTH,
    "model.head_units": HEAD_UNITS,
    "data.batch_size": 2,
    "data.crop_px": 32,
}
# The names that every snippet has: options of load_config, and arguments of build_fcn.
NAMES = {"TOY": TOY, "NARROW": NARROW}
# Added to each command of a name.
TRAIN_OPTIONS = [text for key, value in TOY.items() for text in (f"--{key}", str(value))]
COMMANDS = {"train": TRAIN_OPTIONS, "export": ["--tflite.calibration_images", "20"]}

BENCHMARK = "tests/test_benchmarks.py runs it at toy size"
SERVER = "needs TensorFlow Serving; tests/inference/test_client.py has the same calls"
VOC = "downloads PASCAL VOC; tests/test_recipes.py trains on small archives of its format"
TFDS = "downloads a data set; tests/data/test_tfds_source.py builds one, and trains on it"
WEB = "needs Chromium and npm; tests/exporting/test_web_page.py exports a page"
FORM = "shows the form of a command"
# Paths at which a page finds a copy of a run on `shapes`.
SCENES_RUNS = ("runs/shapes-fcn8s", "runs/mine")
# Not run on any page, by how they begin.
EVERYWHERE = {
    "pip install": "needs a registry of packages; .ci/run installs the package and its extras",
    "python train.py --variant fcn8s$": ".ci/run runs the README's first command",
    "pytest": ".ci/run runs the README's second command",
    "python benchmarks/": BENCHMARK,
    "curl": "needs a server",
    "docker": "needs Docker",
    "git clone": "needs the network",
    "fcn-tf train --config voc": VOC,
    "fcn-tf request": SERVER,
}


@dataclass(frozen=True)
class Page:
    """How a page is run. What a key says of steps, `begins` decides.

    Args:
        prepare: what it takes for granted, keys of PREPARED in tests/documents/prepare.py, or
            some of `SCENES_RUNS`.
        before: Python lines that run before its first step.
        options: by the beginning of a command, the options that are added to it, after those of
            its kind; of two equal options the last counts.
        changes: by a regular expression, what replaces it in the snippets.
        checks: by the beginning of a snippet, Python lines that run after it.
        not_run: by the beginning of a step, why it is not run.
        leaves: files, or patterns of files, that are there at the end.
    """

    prepare: tuple[str, ...] = ()
    before: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)
    leaves: tuple[str, ...] = ()


STEPS = r'"training\.max_steps": \d+'  # in a snippet's options
PHOTOS = ("labelled/a.jpg.png", "labelled/a.jpg.overlay.png", "labelled/b/c.jpg.png")
RANDOM = "import numpy as np\nrandom = np.random.default_rng(0)\n"

TABLE = {
    "README.md": Page(
        prepare=("street", "photos", "photo.jpg", "runs/shapes-fcn8s", "vgg16.keras"),
        before=f"{RANDOM}images = random.integers(0, 256, (2, 64, 64, 3), np.uint8)\n"
        "masks = random.integers(0, 6, (2, 64, 64), np.uint8)\n"
        "from fcn_tf.exporting.options import ExportOptions, TFLiteOptions\n"
        'FLOAT32 = ExportOptions(formats="tflite", tflite=TFLiteOptions(quantize="float32"))\n',
        options={
            "python train.py --variant fcn8s --resume": "--training.max_steps 3",
        },
        not_run={
            "python export.py --model runs/shapes-fcn8s --out exported/scenes --formats web": WEB,
        },
        changes={
            r"num_classes=21": "num_classes=21, **NARROW",
            r'"imagenet"': '"vgg16.keras"',
            STEPS: "**TOY",
            # An export refuses what a run of two steps leaves, which answers the same everywhere.
            r'export\("runs/mine"': 'export("runs/shapes-fcn8s"',
            # The command before has written all formats.
            r"data=config\.data\)": "data=config.data, options=FLOAT32)",
        },
        checks={
            "import fcn_tf": "assert logits.shape == (2, 64, 64, 21)\n"
            "assert labels.shape == (64, 96) and labels.dtype == np.uint8\n"
            "assert model.num_classes == 6\n",
        },
        leaves=(
            *PHOTOS,
            "exported/scenes/saved_model/1/saved_model.pb",
            "exported/scenes/tflite/1/scenes-float16.tflite",
            "report/scenes-int8/report.html",
            "exported/mine/tflite/1/mine-float32.tflite",
        ),
    ),
    "docs/architecture.md": Page(
        prepare=("photo.jpg", "runs/mine"),
        not_run={
            "## Adding one more": "belongs into files of the package; tests/test_extending.py puts "
            "it into a copy",
        },
        leaves=("labelled/photo.jpg.png",),
    ),
    "docs/beam.md": Page(
        not_run={
            "python3 -m venv": "needs a registry of packages; .ci/run installs the extra so",
            "beam/bin/pip install": "needs a registry of packages; .ci/run installs the extra so",
            "fcn-tf predict --runner direct": "needs the extra beam, which excludes those of the "
            "other pages; tests/beam/test_predicting.py has the same calls",
            "fcn-tf evaluate --runner direct": "needs the extra beam; tests/beam/test_scoring.py "
            "has the same call",
            "fcn-tf prepare --runner direct": "needs the extra beam; tests/beam/test_preparing.py "
            "has the same call",
            "fcn-tf predict --runner dataflow": "needs Dataflow",
            "fcn-tf predict --runner flink": "needs Flink",
            "fcn-tf predict --runner spark": "needs Spark",
        },
    ),
    "docs/data.md": Page(
        prepare=("street", "retina", "cvat_export", "CamVid"),
        not_run={
            "fcn-tf train --data.data_dir street": "the same command as in README.md",
            "fcn-tf train --data.data_dir fields": "needs the extra maps; "
            "tests/data/test_folder.py reads such files",
            "fcn-tf train --data.data_dir labelme": "tests/data/test_layouts.py reads the layout",
            "fcn-tf train --data.mask_values": "tests/data/test_folder.py trains on such masks",
            "import fcn_tf.data": VOC,
            "fcn-tf check-data --data.tfds_name": TFDS,
            "fcn-tf train --data.tfds_name": TFDS,
        },
        leaves=(
            "findings.json",
            "check-data/sample_sheet.png",
            "datasets/street/1.0.0/dataset_info.json",
        ),
    ),
    "docs/geometry.md": Page(
        changes={'geometry="caffe"': 'geometry="caffe", **NARROW'},
        checks={"import fcn_tf": 'assert model.build_arguments["geometry"] == "caffe"'},
        not_run={"fcn-tf train": "tests/training/test_run.py trains in this geometry"},
    ),
    "docs/on-device.md": Page(
        prepare=("runs/shapes-fcn8s",),
        before=f"{RANDOM}image = random.integers(0, 256, (64, 96, 3), np.uint8)\n",
        options={"fcn-tf export": "--tflite.size 64x96"},
        changes={"scenes-int8": "exported/scenes/tflite/1/scenes-int8"},
        checks={"from ai_edge_litert": "assert scores.shape == (64, 96, 6)"},
        not_run={
            "from mediapipe": "needs the extra mediapipe; tests/exporting/test_export.py has "
            "the same calls",
            "fcn-tf train --config shapes --model.trunk": "tests/test_trunks.py trains it",
            "fcn-tf export --model runs/small-crops": "tests/test_trunks.py exports it",
        },
    ),
    "docs/web.md": Page(
        not_run={
            "fcn-tf export": WEB,
            "python3 -m http.server": "does not end; tests/exporting/test_web_page.py serves one",
            "npm pack": "needs a network; tests/exporting/test_web_runtime.py has npm called",
        },
    ),
    "docs/install.md": Page(
        not_run={"python -m build": ".ci/run builds the wheel, installs it and runs it"},
    ),
    "docs/paper.md": Page(
        before=f"{RANDOM}image = random.integers(0, 256, (64, 96, 3), np.uint8)\n",
        checks={
            "import fcn_tf": "assert dense.shape == (16, 24, 6)",
            "dense_model": 'assert dense_model.build_arguments["output_stride"] == 8',
        },
        not_run={
            "fcn-tf train --config shapes_sampled": "tests/training/test_losses.py draws pixels",
            "fcn-tf train --variant fcn8s --loss.sample_fraction": "tests/training/test_losses.py "
            "draws pixels",
            "fcn-tf train --config paper/fcn_alexnet": VOC,
            "fcn-tf import-weights --from hed": "tests/models/test_hed.py writes such a file",
            "python train.py --config camvid_vgg16": "needs CamVid, and the file; docs/scale.md "
            "trains the recipe camvid on a folder like it",
            "fcn-tf export --model runs/camvid_vgg16-fcn8s": "the commands of docs/serving.md and "
            "README.md, on a run that needs CamVid",
            "fcn-tf evaluate --model exported/street": "as the export above",
        },
    ),
    "docs/performance.md": Page(
        not_run={
            "fcn-tf export --model runs/cam": "the same command as in docs/serving.md",
            "fcn-tf evaluate --model exported/cam": "the same command as in README.md",
        },
    ),
    "docs/prediction.md": Page(
        prepare=("photos", "street", "runs/shapes-fcn8s", "runs/street", "exported/scenes"),
        before=f"{RANDOM}first, second = (\n"
        "    random.integers(0, 256, (*size, 3), np.uint8) for size in ((40, 70), (64, 48))\n"
        ")\nimage = first\n",
        checks={
            "import fcn_tf": "assert labels.shape == (40, 70) and scores.shape == (40, 70, 6)\n"
            "assert [one.shape for one in many] == [(40, 70), (64, 48)]\n",
        },
        not_run={
            "fcn-tf evaluate --model exported/scenes": "the same command as in README.md",
            "fcn-tf predict --model runs/shapes-fcn8s --out labelled --format png,geojson": "needs "
            "the extra maps; tests/inference/test_maps.py writes these files",
            "fcn-tf predict --model runs/shapes-fcn8s --out labelled clip.mp4": "needs the extra "
            "video; tests/inference/test_video.py labels such videos",
            "fcn-tf predict --model runs/shapes-fcn8s --out labelled --label_frames": "needs the "
            "extra video; tests/inference/test_video.py writes such frames",
        },
        leaves=(
            *PHOTOS,
            "runs/shapes-fcn8s/report/report.html",
            "runs/street/report/test/report.html",
        ),
    ),
    "docs/pretrained.md": Page(
        prepare=("photos", "street.yaml", "voc.keras"),
        not_run={
            "fcn-tf train": "the options are those of docs/weights.md; tests/test_trunks.py trains "
            "the network",
            "fcn-tf import-weights": "needs the published file; tests/models/"
            "test_published_others.py imports one of its names and shapes",
            "fcn-tf export": "tests/test_trunks.py exports the same network",
        },
        leaves=PHOTOS,
    ),
    "docs/unet.md": Page(
        prepare=("photos", "street"),
        not_run={
            "fcn-tf train": "tests/test_trunks.py trains the network; its scores without "
            "padding are those of tests/models/test_unet.py",
            "fcn-tf predict": "the command of docs/prediction.md, for another model",
            "fcn-tf export": "tests/test_trunks.py exports the network",
        },
    ),
    "docs/segnet.md": Page(
        prepare=("street", "street.yaml", "vgg16.keras"),
        options={
            "fcn-tf train --config street.yaml --variant segnet --model.dropout 0 "
            "--model.weights imagenet": "--model.weights vgg16.keras",
        },
        not_run={
            "fcn-tf train --config street.yaml --training.batch_norm_pass": "the first command "
            "with an option, which tests/training/test_batch_norm.py shows",
        },
    ),
    "docs/scale.md": Page(
        prepare=("CamVid",),
        options={
            "fcn-tf train --resume --workdir": "--training.max_steps 3",
            "fcn-tf train --training.profile_steps": "--training.profile_steps [1,2]",
        },
        not_run={
            "fcn-tf train --config shapes --distribution": "tests/training/test_distribution.py "
            "trains on two virtual devices",
            "export TF_CONFIG": "needs two machines; tests/training/test_distribution.py has two",
            "TF_ENABLE_ONEDNN_OPTS=0": "tests/training/test_kills.py trains so",
            "TPU_NAME": "needs a TPU",
            "tensorboard": "needs a browser",
        },
        leaves=("runs/street/model.keras",),
    ),
    "docs/serving.md": Page(
        prepare=("runs/shapes-fcn8s",),
        not_run={
            "echo": "needs a server",
            "grpcurl": "needs a server",
            "kubectl": "needs a cluster; tests/test_deploy.py checks the manifests",
            "fcn-tf export --model runs/shapes-fcn8s --out exported/scenes --formats onnx": "needs "
            "the extra onnx; tests/exporting/test_onnx.py writes such a file",
            "import onnxruntime": "needs the extra onnx; tests/exporting/test_onnx.py has the same "
            "calls",
            "import openvino": "needs OpenVINO; the page says what was run by hand",
            "import coremltools": "needs coremltools; the page says what was run by hand",
            "python3 -m venv tfjs": "needs a registry of packages",
            "tfjs/bin": "needs tensorflowjs; the page says what was run by hand",
        },
        leaves=("exported/scenes/saved_model/1/labels.txt", "plain/saved_model.pb"),
    ),
    "docs/training.md": Page(
        prepare=("street", "model.keras"),
        changes={STEPS: "**TOY"},
        checks={
            "import fcn_tf\n": 'assert config.seed == 1\nassert str(workdir) == "runs/mine"',
            "import fcn_tf.data": 'assert 0 <= scores["mean_iou"] <= 1',
        },
        not_run={
            "fcn-tf train [": FORM,
            "fcn-tf train --config shapes --variant fcn16s": "docs/weights.md trains this variant",
            "fcn-tf train --config runs/shapes-fcn8s/config.yaml": "it is the first command again",
            "fcn-tf train --data.data_dir street --loss.name ohem": "the command before it, for "
            "another loss; tests/training/test_distribution.py takes steps of each loss",
            "fcn-tf train --data.data_dir street --loss.name focal": "as the one above",
        },
        leaves=(
            "runs/shapes-fcn8s/report/learning_curve.png",
            "runs/early-stopping/model.keras",
            "elsewhere/report.html",
            "report/report.html",
        ),
    ),
    "docs/weights.md": Page(
        prepare=("street", "street.yaml", "street.jpg", "vgg16.keras", "mobilenet.keras"),
        before=f"{RANDOM}images = random.integers(0, 256, (1, 320, 480, 3), np.uint8)\n",
        changes={
            r"num_classes=21": "num_classes=3, **NARROW",
            r'"imagenet"': '"vgg16.keras"',
            r"ResNet50\(\)": "ResNet50(weights=None)",
        },
        checks={"import keras": "assert scores.shape == (1, 4, 9, 1000)"},
        not_run={
            "fcn_tf.load_trunk": "downloads ImageNet's weights; tests/test_trunks.py loads files",
            "fcn-tf train --config paper/": VOC,
            "fcn-tf import-weights": "needs the published file; tests/models/test_published.py "
            "imports one of its names and shapes, and test_hed.py those of the package",
            "fcn-tf train --config voc --model.weights vgg16_hed": "needs the extra hed; "
            "tests/models/test_hed.py loads the file",
            "fcn-tf evaluate --model fcn8s.keras": VOC,
            'model = fcn_tf.build_fcn("fcn8s", geometry="caffe")': "needs the published file; "
            "tests/models/test_published.py has the same call",
            "import caffe": "needs Caffe",
            "fcn-tf heatmap cat.jpg": "downloads ImageNet's weights; tests/inference/"
            "test_heatmap.py draws heat maps",
            "fcn-tf heatmap street.jpg --model runs/street": "needs CamVid; tests/inference/"
            "test_heatmap.py draws the map of a segmentation model",
        },
        leaves=("runs/fcn8s/model.keras", "heat.png"),
    ),
}


def steps_of_page(name: str) -> list[Step]:
    """The steps of a page, in their order.

    Raises:
        ValueError: a block may hold commands, and nothing says whether it does.
    """
    try:
        return steps_of(PAGES[name].read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from error


def begins(step: Step, beginning: str) -> bool:
    """Whether a step is one of those that a key of the table is about.

    Args:
        step: the step.
        beginning: how its text begins; the whole text, with a $ behind it; or the line of the
            heading, "## …", of a section whose steps are all meant.
    """
    if beginning.startswith("## "):
        return beginning == f"## {step.section}"
    if beginning.endswith("$"):
        return step.text.strip() == beginning[:-1]
    return step.text.startswith(beginning)


def reasons_of(name: str) -> dict[str, str]:
    """Why steps of a page are not run, by how they begin."""
    return {**EVERYWHERE, **TABLE.get(name, Page()).not_run}


def reason(name: str, step: Step) -> str | None:
    """Why a step of a page is not run; None if it is."""
    for beginning, why in reasons_of(name).items():
        if begins(step, beginning):
            return why
    return None


def steps_to_run(name: str) -> list[dict[str, Any]]:
    """What the runner does for a page: its steps without those that are not run, in toy sizes.

    A command that stands on the page twice runs once. Of a `fcn-tf train` that is not run there
    is a step of the kind "options".
    """
    page = TABLE.get(name, Page())
    steps: list[dict[str, Any]] = []
    for step in steps_of_page(name):
        to_run: dict[str, Any] = {"kind": step.kind, "text": step.text}
        if (why := reason(name, step)) is not None:
            if why == FORM or not step.text.startswith("fcn-tf train"):
                continue
            to_run["kind"] = "options"
        elif step.kind == "snippet":
            to_run["text"] = changed(page, step)
        else:
            to_run["options"] = options(name, step)
        if to_run not in steps:
            steps.append(to_run)
    if steps:
        before = [f"{key} = {value!r}" for key, value in NAMES.items()]
        steps.insert(0, {"kind": "snippet", "text": "\n".join([*before, page.before])})
    return steps


def options(name: str, step: Step) -> list[str]:
    """The options that are added to a command of a page."""
    script = step.text.split(" | ")[-1].removeprefix("fcn-tf ").removeprefix("python ")
    added = list(COMMANDS.get(script.split()[0].removesuffix(".py"), ()))
    for beginning, more in TABLE.get(name, Page()).options.items():
        if begins(step, beginning):
            added += more.split()
    return added


def changed(page: Page, step: Step) -> str:
    """A snippet with its sizes changed, and with the lines that check what came out."""
    text = step.text
    for pattern, replacement in page.changes.items():
        text = re.sub(pattern, replacement, text)
    checks = [lines for start, lines in page.checks.items() if begins(step, start)]
    return "\n".join([text, *checks])
