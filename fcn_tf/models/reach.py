"""How far from a pixel an image matters to its label."""

import keras

from fcn_tf.models.layers import ResizeLike

WHOLE_IMAGE = (keras.layers.GlobalAveragePooling2D, ResizeLike)
GRID_PX = 32  # at whose multiples a tile may begin, so that its pooling windows are the image's


def margin_px(model):
    """What a tile needs around the part that is kept, for that part to be exact.

    Each convolution looks (kernel - 1) / 2 cells further, in px of its cells; what has a
    stride looks no further than its window exceeds it; upsampling, fine to coarse, looks at
    the one neighbouring cell of the coarsest map.

    Args:
        model: an `FCN`.

    Returns:
        int, a multiple of 32: 224 for VGG16 with a 7×7 fc6, 128 with a 1×1. None where a
        part does not tell of the whole: each block of MobileNetV3 and EfficientNetV2 looks at
        all of the image, and torchvision's FCNs stretch their scores to its size.
    """
    if any(isinstance(layer, WHOLE_IMAGE) for layer in model.layers):
        return None
    reach_px, cell_px = {}, {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            continue  # and what follows it is not known either
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        if isinstance(layer, keras.layers.InputLayer):
            reach, cell = 0, 1
        elif all(id(tensor) in cell_px for tensor in inputs):
            reach = max(reach_px[id(tensor)] for tensor in inputs)
            cell = max(cell_px[id(tensor)] for tensor in inputs)
        else:
            continue
        stride = getattr(layer, "strides", (1, 1))[0]
        window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", (1,))
        dilation = getattr(layer, "dilation_rate", (1,))[0]
        is_centred = stride == 1 and hasattr(layer, "kernel_size")
        further = window[0] // 2 if is_centred else max(0, window[0] - stride)
        reach += further * dilation * cell
        reach_px[id(layer.output)] = reach
        cell_px[id(layer.output)] = cell * stride
    furthest = max(reach_px[tensor] + cell_px[tensor] for tensor in reach_px)
    return -(-furthest // GRID_PX) * GRID_PX
