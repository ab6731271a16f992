"""Dense scores from a coarse network: every shift of the image, interlaced."""

import keras
import numpy as np

from fcn_tf.errors import InputError


def shift_and_stitch(model, image, factor):
    """The scores of a network at 1/32 for every 32 / factor px (Long et al. 2015, section 3.2).

    The image is shifted by every multiple of 32 / factor px below 32, in both directions, and
    the scores of the factor ** 2 shifts are interlaced. A network of the same weights with
    output_stride = 32 / factor gives the same in one pass, but near the border, where its
    zeros lie elsewhere.

    Args:
        model: an `FCN` with output stride 32; what is stitched is `score_fr`, its scores
            before any upsampling.
        image: (H, W, 3) RGB in 0..255.
        factor: 1, 2, 4, 8, 16 or 32.

    Returns:
        float32 array (ceil(H * factor / 32), ceil(W * factor / 32), C).

    Raises:
        InputError: another factor, a network of another output stride, or no such image.
    """
    if factor not in (1, 2, 4, 8, 16, 32):
        raise InputError(f"factor={factor!r}: it must be 1, 2, 4, 8, 16 or 32.")
    arguments = getattr(model, "build_arguments", {})
    if arguments.get("output_stride") != 32 or tuple(model.inputs[0].shape[1:3]) != (None, None):
        raise InputError(
            "Shifts are stitched of an FCN that takes any size and whose scores lie 32 px apart."
        )
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"An image is (height, width, 3), RGB; this is {image.shape}.")
    scores = keras.Model(model.inputs[0], model.get_layer("score_fr").output)
    factor = int(factor)
    step_px = 32 // factor
    sides = [-(-side // step_px) for side in image.shape[:2]]
    dense = np.zeros((*sides, model.num_classes), np.float32)
    for row in range(min(factor, sides[0])):
        for column in range(min(factor, sides[1])):
            shifted = image[None, row * step_px :, column * step_px :]
            cells = keras.ops.convert_to_numpy(scores(shifted, training=False))[0]
            rows, columns = dense[row::factor, column::factor].shape[:2]
            dense[row::factor, column::factor] = cells[:rows, :columns]
    return dense
