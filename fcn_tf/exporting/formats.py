"""The formats that a model is exported to: what each can be, and how far it may differ.

A format is a module of this folder and an entry in `FORMATS`. The module has two functions:

`write(job: Job, kind: str, folder: Path) -> Path` writes one kind into the folder of a version
and returns the path of what it wrote.

`run(artefact: str)` loads that path and returns a function from an image, uint8 (H, W, 3), to a
dict of one array: `scores`, softmax float32 (H, W, C), or `labels`, uint8 (H, W). The text of `run`
alone is executed, in a process without this package: it imports inside what it uses, and uses no
other name of its module but in annotations. An artefact whose `run` fails is refused; the message
gives the reason, which is what was raised or given to `sys.exit`.

It may have a third: `check(options: ExportOptions) -> None`, which raises an `InputError` before
any work where something is missing that `write` or `run` needs.

This file imports no TensorFlow: the command line is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fcn_tf.config.networks import GRID_PX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fcn_tf.config.export_record import ExportRecord
    from fcn_tf.exporting.options import ExportOptions
    from fcn_tf.models.fcn import FCN


@dataclass(frozen=True)
class Bar:
    """What an artefact has to keep to.

    Args:
        largest_difference: of a score, 0 to 1, or None where it is only reported.
        same_label: share of the pixels with the same label, 0 to 1, among those whose two best
            scores differ by more than `margin`.
        margin: that difference, 0 to 1.
    """

    largest_difference: float | None
    same_label: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One form of a format, named by its numbers: float32, int8, …

    Args:
        bar: what it has to keep to.
        computes_in: what the frozen network that is written computes in: "float32" or "bfloat16".
        needs_images: whether it is calibrated on images of the data set.
        by_default: whether it is written where no kinds are named.
        remedy: what to do where its labels are refused, a sentence.
    """

    bar: Bar
    computes_in: str = "float32"
    needs_images: bool = False
    by_default: bool = True
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options of an export say of one format.

    Args:
        kinds: the kinds to write, or None for all that can be made with the data at hand.
        size_px: (height, width) that the artefacts are fixed to, or None for any size.
        step_px: where they are not, what both sides have to be multiples of.
        max_pixels: pixels of an image above which the artefact refuses it, or None.
        calibration_images: how many images a kind takes that needs them.
        described: further fields of `ExportRecord`.
    """

    kinds: tuple[str, ...] | None = None
    size_px: tuple[int, int] | None = None
    step_px: int = 1
    max_pixels: int | None = None
    calibration_images: int = 100
    described: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format.

    Args:
        title: what messages call it.
        module: full name of the module with its `write` and `run`.
        kinds: its kinds by name, in the order in which they are written.
        is_folder: whether the folder of a version is itself the artefact, which is then of one
            kind. If not, a version holds a file, or a folder, of each kind.
        measures_memory: whether the memory of a call is measured.
        when_named: whether it is written only where `formats` names it.
        extra, modules: the extra of the package that it needs, and what of it is imported.
        usage: how an artefact is run, in Markdown, for the card; FILE stands for its name.
        settings: takes what concerns the format out of the options.
    """

    title: str
    module: str
    kinds: Mapping[str, Kind]
    is_folder: bool = False
    measures_memory: bool = False
    when_named: bool = False
    extra: str = ""
    modules: tuple[str, ...] = ()
    usage: str = ""
    settings: Callable[[ExportOptions], Settings] = lambda options: Settings()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a format's `write` is given.

    Args:
        model: the network.
        frozen: gives the frozen network, as `freeze` returns it, in what the kind computes in.
        options: the options of the export.
        calibration_images: uint8 (H, W, 3), of the size that the artefact is fixed to, for a
            kind that needs them; else empty.
        stem: how a file's name begins.
        record: export.json, without what a format adds.
    """

    model: FCN
    frozen: Callable[[], Callable[[Any], Any]]
    options: ExportOptions
    calibration_images: Iterable[NDArray[np.uint8]]
    stem: str
    record: ExportRecord | None = None

    @property
    def logits(self) -> Callable[[Any], Any]:
        """The frozen network, made when it is asked for: it copies the weights."""
        return self.frozen()


def _saved_model_settings(options: ExportOptions) -> Settings:
    return Settings(kinds=(options.precision,), max_pixels=options.saved_model.max_pixels)


def _tflite_settings(options: ExportOptions) -> Settings:
    tflite = options.tflite
    return Settings(
        kinds=tflite.kinds,
        size_px=tflite.size_px,
        step_px=1 if tflite.size_px else GRID_PX,
        calibration_images=tflite.calibration_images,
        described={
            "size": "any" if tflite.size_px is None else str(tflite.size_px),
            "step_px": None if tflite.size_px else GRID_PX,
            "input": tflite.input,
            "output": tflite.output,
        },
    )


def _web_settings(options: ExportOptions) -> Settings:
    size_px = options.tflite.size_px
    # Whoever opens the page can read export.json: it names no path of this machine.
    return Settings(size_px=size_px, described={"size": str(size_px), "model": None})


# How a file, or a folder, is run, in a card; FILE stands for its name.
SAVED_MODEL_USAGE = """```python
import tensorflow as tf
model = tf.saved_model.load("FILE")
labels = model.signatures["labels"](images=tf.constant(image[None]))["labels"][0]
```"""
TFLITE_USAGE = """```python
import fcn_tf
predict = fcn_tf.Predictor("FILE")
labels = predict(image)  # uint8 (H, W)
```"""
ONNX_USAGE = """```python
import onnxruntime
session = onnxruntime.InferenceSession("FILE")
scores = session.run(None, {"images": image[None]})[0][0]  # (H, W, C)
```"""
WEB_USAGE = """```
python3 -m http.server
```
Then open `http://localhost:8000` in a browser."""
# docs/on-device.md, "Where int8 is refused", has the figures behind it.
REMEDY_OF_8_BITS = (
    "Give the training a larger data.crop_px, or more steps, or take dynamic: "
    "docs/on-device.md says why."
)
# The version of ONNX' operators. ONNX Runtime has known it since version 1.12.
ONNX_OPSET = 17

FORMATS: dict[str, Format] = {
    "saved_model": Format(
        title="SavedModel",
        module="fcn_tf.exporting.saved_model",
        kinds={
            "float32": Kind(bar=Bar(1e-5, 0.9999, 1e-5)),
            "bfloat16": Kind(bar=Bar(None, 0.99, 1e-2), computes_in="bfloat16"),
        },
        is_folder=True,
        measures_memory=True,
        usage=SAVED_MODEL_USAGE,
        settings=_saved_model_settings,
    ),
    "tflite": Format(
        title="TFLite",
        module="fcn_tf.exporting.tflite",
        kinds={
            "float32": Kind(bar=Bar(1e-5, 0.9999, 1e-5)),
            "float16": Kind(bar=Bar(1e-2, 0.999, 1e-2)),
            "dynamic": Kind(bar=Bar(None, 0.97, 1e-2)),
            "int8": Kind(bar=Bar(None, 0.97, 1e-2), needs_images=True, remedy=REMEDY_OF_8_BITS),
            "integer": Kind(
                bar=Bar(None, 0.97, 1e-2),
                needs_images=True,
                by_default=False,
                remedy=REMEDY_OF_8_BITS,
            ),
        },
        usage=TFLITE_USAGE,
        settings=_tflite_settings,
    ),
    "web": Format(
        title="web page",
        module="fcn_tf.exporting.web",
        kinds={"float32": Kind(bar=Bar(1e-5, 0.9999, 1e-5))},
        is_folder=True,
        when_named=True,
        extra="web",
        modules=("playwright",),
        usage=WEB_USAGE,
        settings=_web_settings,
    ),
    "onnx": Format(
        title="ONNX",
        module="fcn_tf.exporting.onnx",
        kinds={"float32": Kind(bar=Bar(1e-5, 0.9999, 1e-5))},
        when_named=True,
        extra="onnx",
        modules=("tf2onnx", "onnxruntime"),
        usage=ONNX_USAGE,
        settings=lambda options: Settings(described={"size": "any", "opset": ONNX_OPSET}),
    ),
}
