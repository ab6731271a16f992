"""What an export can be told; no TensorFlow is imported, since the command line is made of it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Literal

from fcn_tf.config.types import Names, Size
from fcn_tf.errors import InputError, check, check_names
from fcn_tf.exporting.formats import FORMATS


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
        quantize: some of float32,float16,dynamic,int8; default all, int8 only with data to
            calibrate on.
        size: HEIGHTxWIDTH that the files are fixed to; default any size.
        output: what the files give, "scores" of each class or "labels".
        calibration_images: images of train that int8 is calibrated on.
    """

    quantize: Names | None = None
    size: Size | None = None
    output: Literal["scores", "labels"] = "scores"
    calibration_images: int = 100

    def __post_init__(self) -> None:
        if self.quantize is not None:
            object.__setattr__(self, "quantize", Names.of(self.quantize))
            check_names("tflite.quantize", self.quantize, tuple(FORMATS["tflite"].kinds))
        if self.size is not None:
            object.__setattr__(self, "size", Size.of(self.size))
            check(min(self.size) >= 1, "tflite.size", str(self.size), "at least 1x1")
        check_names("tflite.output", [self.output], ("scores", "labels"))
        images = self.calibration_images
        check(images >= 1, "tflite.calibration_images", images, "at least 1")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What an export writes.

    Args:
        formats: some of saved_model, for TensorFlow Serving, tflite, for devices, and onnx, for
            ONNX Runtime, OpenVINO and Triton; default the first two.
        precision: of the SavedModel: "float32", or "bfloat16" for processors and
            accelerators that compute in it.
        saved_model: the SavedModel.
        tflite: the TFLite files.

    Example:
        >>> ExportOptions(formats="tflite", tflite=TFLiteOptions(size="320x480")).tflite.size
        Size(320, 480)
    """

    formats: Names = Names(name for name, what in FORMATS.items() if not what.when_named)
    precision: Literal["float32", "bfloat16"] = "float32"
    saved_model: SavedModelOptions = field(default_factory=SavedModelOptions)
    tflite: TFLiteOptions = field(default_factory=TFLiteOptions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", Names.of(self.formats))
        check_names("formats", self.formats, tuple(FORMATS))
        for name in self.formats:
            if not all(map(importlib.util.find_spec, FORMATS[name].modules)):
                how = f"pip install 'fcn_tf[{FORMATS[name].extra}]' writes it."
                raise InputError(f"formats={name}: {how}")
        check_names("precision", [self.precision], tuple(FORMATS["saved_model"].kinds))
