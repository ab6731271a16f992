"""The 8-bit files of the libraries that our TFLite files are compared with, from one ONNX file."""

import tempfile
from pathlib import Path

CALIBRATION_IMAGES = 4


def write_openvino(folder, image):
    """Writes openvino-int8.xml: OpenVINO's network, quantized by NNCF's default.

    Args:
        folder: where network.onnx lies.
        image: uint8 (1, H, W, 3), the size that the network is fixed to, on which it is calibrated.
    """
    import nncf
    import openvino

    network = openvino.convert_model(folder / "network.onnx")
    network.reshape(image.shape)
    images = nncf.Dataset([image] * CALIBRATION_IMAGES)
    quantized = nncf.quantize(network, images, subset_size=CALIBRATION_IMAGES)
    openvino.save_model(quantized, folder / "openvino-int8.xml")


def write_onnx_runtime(folder, image):
    """Writes network-int8.onnx: weights by channel and activations, as ONNX Runtime advises.

    Args:
        folder, image: as in `write_openvino`.
    """
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self):
            self.left = CALIBRATION_IMAGES

        def get_next(self):
            self.left -= 1
            return {"image": image} if self.left >= 0 else None

    with tempfile.TemporaryDirectory() as temporary:
        prepared = Path(temporary) / "network.onnx"
        quant_pre_process(folder / "network.onnx", prepared)
        path = folder / "network-int8.onnx"
        quantize_static(prepared, path, Images(), per_channel=True)
