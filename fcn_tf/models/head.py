"""From a trunk's maps to logits: scores, their fusion from coarse to fine, and upsampling.

All of it is computed in float32: 21 channels cost little, and bfloat16 is too coarse for the
sum of three scores. In the comments H is the height of the image, or of the padded image in
the geometry "caffe".
"""

from __future__ import annotations

from collections.abc import Mapping

from keras import layers

from fcn_tf.config.networks import TRUNKS, VARIANTS, NetworkArguments, Skip
from fcn_tf.models.layers import Bilinear, Crop, EdgeCell, Tensor, scores_of
from fcn_tf.models.upsampling import Conv2DTranspose


def fcn_head(
    images: Tensor, endpoints: Mapping[str, Tensor], network: NetworkArguments, num_classes: int
) -> Tensor:
    """Scores the trunk's maps, fuses the scores from coarse to fine and upsamples them.

    Args:
        images: (N, H, W, 3), whose size the logits get.
        endpoints: the trunk's maps by endpoint; see `fcn_tf.models.trunks`.
        network: the arguments of `build_fcn`.
        num_classes: number of channels of the logits.

    Returns:
        float32 logits (N, H, W, num_classes).
    """
    scores = scores_of(endpoints["fc7"], num_classes)  # (N, H/32, W/32, C)
    for skip in VARIANTS[network.variant].skips:
        endpoint = endpoints[skip.endpoint]
        if skip.scale != 1:
            name = f"scale_{skip.endpoint}"
            endpoint = layers.Rescaling(skip.scale, name=name, dtype="float32")(endpoint)
        finer = scores_of(endpoint, num_classes, skip.score)  # (N, H/16, W/16, C), then H/8
        coarser = _upsampled_to_skip(scores, finer, skip, network)
        if network.geometry == "caffe":
            # The coarser map is the smaller one: fc6, which has no padding, cut 6 cells.
            finer = _cropped(skip.score, finer, coarser, skip.caffe_crop_px)
        scores = layers.Add(name=f"fuse_{skip.endpoint}", dtype="float32")([coarser, finer])
    if network.geometry == "caffe":
        return _caffe_logits(scores, images, network)
    if network.upsampling == "nonlinear":
        return _nonlinear_logits(scores, images, network)
    return _bilinear_logits(scores, images, network)  # (N, H, W, C)


def _upsampled_to_skip(
    scores: Tensor, finer: Tensor, skip: Skip, network: NetworkArguments
) -> Tensor:
    """The scores at twice the resolution; in the geometry "same", of the finer map's size."""
    is_learned = network.upsampling != "fixed"
    if network.geometry == "caffe":
        return _transposed(skip.upscore, scores, 4, factor=2, is_learned=is_learned)
    scores = interpolated(
        skip.upscore,
        scores,
        factor=2,
        centre_px=TRUNKS[network.trunk].centre,
        is_learned=is_learned,
        reference=finer,
    )
    return _activated(skip.upscore, scores) if network.upsampling == "nonlinear" else scores


def _caffe_logits(scores: Tensor, images: Tensor, network: NetworkArguments) -> Tensor:
    """Scores (N, h, w, C) upsampled in one step and cut as in the published networks."""
    variant, trunk = VARIANTS[network.variant], TRUNKS[network.trunk]
    kernel_size, crop_px = 2 * variant.factor, variant.caffe_crop_px
    if network.variant == "fcn32s":
        kernel_size = trunk.upscore_px
        crop_px = crop_px if trunk.caffe_crop_px is None else trunk.caffe_crop_px
    logits = _transposed(
        variant.upscore,
        scores,
        kernel_size,
        factor=variant.factor,
        is_learned=network.upsampling == "learned_all",
    )
    return _cropped(variant.upscore, logits, images, crop_px)


def _bilinear_logits(scores: Tensor, images: Tensor, network: NetworkArguments) -> Tensor:
    """Scores (N, h, w, C) upsampled to the images' size in one step."""
    variant = VARIANTS[network.variant]
    return interpolated(
        variant.upscore,
        scores,
        # A smaller output stride leaves the window of pixels that a cell sees, and so its
        # centre, where they are.
        factor=network.output_stride if network.variant == "fcn32s" else variant.factor,
        centre_px=TRUNKS[network.trunk].centre * (variant.factor - 1),
        is_learned=network.upsampling == "learned_all",
        reference=images,
    )


def _nonlinear_logits(scores: Tensor, images: Tensor, network: NetworkArguments) -> Tensor:
    """Scores upsampled to the images' size by factors of 2, with an activation between."""
    variant, centre_px = VARIANTS[network.variant], TRUNKS[network.trunk].centre
    factor = 2
    while factor < variant.factor:
        name = f"{variant.upscore}_x{factor}"
        scores = interpolated(name, scores, factor=2, centre_px=centre_px, is_learned=True)
        scores = _activated(name, scores)
        factor *= 2
    return interpolated(
        f"{variant.upscore}_x{factor}",
        scores,
        factor=2,
        centre_px=centre_px,
        is_learned=True,
        reference=images,
    )


def _activated(name: str, scores: Tensor) -> Tensor:
    # Not ReLU: its gradient at 0, where all scores start, is 0.
    return layers.Activation("elu", name=f"{name}_elu", dtype="float32")(scores)


def interpolated(
    name: str,
    scores: Tensor,
    *,
    factor: int,
    centre_px: float,
    is_learned: bool = False,
    reference: Tensor | None = None,
) -> Tensor:
    """Bilinear upsampling that is exact up to the border.

    Args:
        name: name of the layer.
        scores: (N, h, w, C).
        factor: cells of the result for each cell of the scores, along each axis.
        centre_px: where the first cell of the scores has its centre on the finer map.
        is_learned: whether the kernel is trained.
        reference: the map that gives the result its height and width; by default they are
            `factor` times those of the scores.
    """
    # An odd kernel, if the centres of the cells lie on pixels of the finer map.
    is_odd = factor > 1 and centre_px == int(centre_px)
    kernel_size = 2 * factor - 1 if is_odd else 2 * factor
    # The border cells are repeated at the top and the left, as often as it takes for every
    # pixel to have two cells to interpolate between; crop_px is then cut there.
    repeats = 1
    while (crop_px := int(repeats * factor + (kernel_size - 1) / 2 - centre_px)) < factor:
        repeats += 1
    scores = EdgeCell(repeats, name=f"{name}_edge", dtype="float32")(scores)
    scores = _transposed(name, scores, kernel_size, factor=factor, is_learned=is_learned)
    if reference is not None:
        return _cropped(name, scores, reference, crop_px)
    # h + repeats + 1 cells have become factor * (h + repeats) + kernel_size.
    cut = (crop_px, factor * repeats + kernel_size - crop_px)
    return layers.Cropping2D((cut, cut), name=f"{name}_crop", dtype="float32")(scores)


def _transposed(
    name: str, scores: Tensor, kernel_size: int, *, factor: int, is_learned: bool
) -> Tensor:
    """A transposed convolution that starts as bilinear interpolation."""
    return Conv2DTranspose(
        scores.shape[-1],
        kernel_size,
        strides=factor,
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=is_learned,
        name=name,
        dtype="float32",
    )(scores)


def _cropped(name: str, scores: Tensor, reference: Tensor, offset_px: int) -> Tensor:
    """The scores, output of the layer `name`, cut to the reference's height and width."""
    return Crop(offset_px, name=f"{name}_crop", dtype="float32")([scores, reference])
