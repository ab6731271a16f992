"""Dense scores from a coarse network: the scores of shifted images, interlaced."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcn_tf.errors import InputError, check
from fcn_tf.models.fcn import FCN

FACTORS = (1, 2, 4, 8, 16, 32)


def shift_and_stitch(model: FCN, image: ArrayLike, factor: int) -> NDArray[np.float32]:
    """Scores for every 32 / factor px from a network whose scores lie 32 px apart.

    Shift-and-stitch of Long et al. 2015, section 3.2. The image is shifted in both directions
    by every multiple of 32 / factor px below 32, and the scores of the factor ** 2 shifts are
    interlaced. A network with the same weights and output_stride = 32 / factor gives the same
    scores in one pass, except near the border, where its zero padding lies elsewhere.

    Args:
        model: an `FCN` with output stride 32 and free sides. Its scores before any upsampling,
            `score_fr`, are stitched.
        image: (H, W, 3), RGB in 0..255.
        factor: 1, 2, 4, 8, 16 or 32.

    Returns:
        float32 array (ceil(H * factor / 32), ceil(W * factor / 32), C).

    Raises:
        InputError: another factor, another output stride, or no such image.

    Example:
        >>> model = fcn_tf.load_model("runs/voc-fcn32s")
        >>> fcn_tf.shift_and_stitch(model, np.zeros((320, 480, 3), np.uint8), factor=4).shape
        (40, 60, 21)
    """
    check(factor in FACTORS, "factor", factor, "1, 2, 4, 8, 16 or 32")
    factor = int(factor)
    arguments = getattr(model, "build_arguments", {})
    if arguments.get("output_stride") != 32 or tuple(model.inputs[0].shape[1:3]) != (None, None):
        raise InputError(
            "shift_and_stitch needs an FCN that takes images of any size and whose scores lie "
            "32 px apart: build it with output_stride=32 and input_shape=(None, None, 3)."
        )
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InputError(f"An image is (height, width, 3), RGB; this one is {pixels.shape}.")
    scores = keras.Model(model.inputs[0], model.get_layer("score_fr").output)
    step_px = 32 // factor
    sides = [-(-side_px // step_px) for side_px in pixels.shape[:2]]
    dense = np.zeros((*sides, model.num_classes), np.float32)
    for row in range(min(factor, sides[0])):
        for column in range(min(factor, sides[1])):
            shifted = pixels[None, row * step_px :, column * step_px :]
            cells = keras.ops.convert_to_numpy(scores(shifted, training=False))[0]
            rows, columns = dense[row::factor, column::factor].shape[:2]
            dense[row::factor, column::factor] = cells[:rows, :columns]
    return dense
