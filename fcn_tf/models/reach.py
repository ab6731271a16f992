"""How far from a pixel an image matters to its label."""

import keras

GRID_PX = 32  # at whose multiples a tile may begin, so that its pooling windows are the image's


def margin_px(model):
    """What a tile needs around the part that is kept, for that part to be exact.

    Each convolution looks (kernel - 1) / 2 cells further, in px of its cells; a pooling
    window no larger than its stride looks no further than its own cell; upsampling, fine to coarse,
    looks at the one neighbouring cell of the coarsest map.

    Args:
        model: an `FCN`.

    Returns:
        int, a multiple of 32: 224 for VGG16 with a 7×7 fc6, 128 with a 1×1.
    """
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
        if hasattr(layer, "kernel_size"):
            reach += (layer.kernel_size[0] - 1) // 2 * layer.dilation_rate[0] * cell
        elif hasattr(layer, "pool_size"):
            reach += (layer.pool_size[0] - stride) * cell
        reach_px[id(layer.output)] = reach
        cell_px[id(layer.output)] = cell * stride
    furthest = max(reach_px[tensor] + cell_px[tensor] for tensor in reach_px)
    return -(-furthest // GRID_PX) * GRID_PX
