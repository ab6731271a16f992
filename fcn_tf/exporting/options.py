"""What an export can be told; no TensorFlow is imported, since the command line is made of it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Literal

from fcn_tf.config.types import Names, Size
from fcn_tf.errors import InputError, check, check_names
from fcn_tf.exporting.formats import FORMATS

# Of the files of fixed size where there are no data, and of those of any size until they are
# resized.
DEFAULT_SIZE_PX = Size((512, 512))
LARGEST_SIDE_PX = 4096  # of an image, as Vulkan promises it of every device
INPUTS = ("uint8", "float32", "int8")


@dataclass(frozen=True, kw_only=True)
class SavedModelOptions:
    """The SavedModel, for TensorFlow Serving.

    Args:
        max_pixels: pixels of an image above which the SavedModel refuses it, and so many of which
            it computes at once; the first convolutions take about half a kilobyte a pixel.
    """

    max_pixels: int = 4_000_000

    def __post_init__(self) -> None:
        check(self.max_pixels >= 1, "saved_model.max_pixels", self.max_pixels, "at least 1")


@dataclass(frozen=True, kw_only=True)
class TFLiteOptions:
    """The TFLite files, for devices.

    Args:
        quantize: some of float32,float16,dynamic,int8,integer; default the first four, int8 only
            with data to calibrate on. integer has no floating-point number at all.
        size: HEIGHTxWIDTH that the files are fixed to, or "any" for all multiples of 32; default
            the commonest size of val, and 512x512 without data.
        input: what an image is: "uint8" or "float32" of 0..255, or "int8", which is uint8 less
            128, for the kinds int8 and integer.
        output: what the files give, "scores" of each class or "labels".
        calibration_images: images of train that int8 is calibrated on.
    """

    quantize: Names | None = None
    size: Size | Literal["any"] | None = None
    input: Literal["uint8", "float32", "int8"] = "uint8"
    output: Literal["scores", "labels"] = "scores"
    calibration_images: int = 100

    def __post_init__(self) -> None:
        if self.quantize is not None:
            object.__setattr__(self, "quantize", Names.of(self.quantize))
            check_names("tflite.quantize", self.quantize, tuple(FORMATS["tflite"].kinds))
        if self.size is not None and self.size != "any":
            size = Size.of(self.size)
            object.__setattr__(self, "size", size)
            allowed = f"1x1 to {LARGEST_SIDE_PX}x{LARGEST_SIDE_PX}, the most that every GPU takes"
            check(1 <= min(size) <= max(size) <= LARGEST_SIDE_PX, "tflite.size", str(size), allowed)
        check_names("tflite.input", [self.input], INPUTS)
        for kind in self.quantize or ():
            allowed = f"one of {','.join(_inputs_of(kind))} for the kind {kind}"
            check(self.input in _inputs_of(kind), "tflite.input", self.input, allowed)
        check_names("tflite.output", [self.output], ("scores", "labels"))
        images = self.calibration_images
        check(images >= 1, "tflite.calibration_images", images, "at least 1")

    @property
    def size_px(self) -> Size | None:
        """The size that the files are fixed to, or None for any."""
        if self.size == "any":
            return None
        return DEFAULT_SIZE_PX if self.size is None else self.size

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The kinds to write, or None for all that can be made with the data at hand."""
        return ("int8",) if self.quantize is None and self.input == "int8" else self.quantize


def _inputs_of(kind: str) -> tuple[str, ...]:
    """What the images can be that a kind of TFLite file takes."""
    if kind == "int8":
        return INPUTS
    return ("uint8", "int8") if kind == "integer" else ("uint8", "float32")


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """The page that labels photos in a browser.

    Args:
        runtime: folder with the files of LiteRT.js that npm pack wrote; default npm fetches them.
    """

    runtime: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What an export writes.

    Args:
        formats: some of saved_model, for TensorFlow Serving, tflite, for devices, web, for
            browsers, and onnx, for ONNX Runtime, OpenVINO and Triton; default the first two.
        precision: of the SavedModel: "float32", or "bfloat16" for processors and
            accelerators that compute in it.
        saved_model: the SavedModel.
        tflite: the TFLite files.
        web: the page that labels photos in a browser.

    Example:
        >>> ExportOptions(formats="tflite", tflite=TFLiteOptions(size="320x480")).tflite.size
        Size(320, 480)
    """

    formats: Names = Names(name for name, what in FORMATS.items() if not what.when_named)
    precision: Literal["float32", "bfloat16"] = "float32"
    saved_model: SavedModelOptions = field(default_factory=SavedModelOptions)
    tflite: TFLiteOptions = field(default_factory=TFLiteOptions)
    web: WebOptions = field(default_factory=WebOptions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", Names.of(self.formats))
        check_names("formats", self.formats, tuple(FORMATS))
        for name in self.formats:
            if not all(map(importlib.util.find_spec, FORMATS[name].modules)):
                how = f"pip install 'fcn_tf[{FORMATS[name].extra}]' writes it."
                raise InputError(f"formats={name}: {how}")
        check_names("precision", [self.precision], tuple(FORMATS["saved_model"].kinds))
