"""From a trunk's maps to logits: scores, fused from coarse to fine, and upsampled."""

from keras import layers

from fcn_tf.models.layers import Bilinear, Crop, EdgeCell
from fcn_tf.networks import VARIANTS


class Head:
    """Scores of the endpoints, fused from coarse to fine and brought to the images' size.

    All of it in float32: 21 channels cost little, and bfloat16 has no room for the
    sum of three scores. In the comments H stands for the padded height where the
    geometry is caffe.

    Args:
        variant: a key of `VARIANTS`.
        trunk: a `Trunk`.
        geometry, upsampling, output_stride: as in `build_fcn`.
    """

    def __init__(self, variant, trunk, geometry, upsampling, output_stride):
        self.variant = VARIANTS[variant]
        self.trunk = trunk
        self.caffe = geometry == "caffe"
        self.upsampling = upsampling
        self.output_stride = output_stride

    def __call__(self, images, endpoints, num_classes):
        """Float32 logits (N, H, W, num_classes) of images (N, H, W, 3), from the trunk's maps."""
        scores = _score("score_fr", endpoints["fc7"], num_classes)  # (N, H/32, W/32, C)
        for skip in self.variant.skips:
            endpoint = endpoints[skip.endpoint]
            if skip.scale != 1:
                name = f"scale_{skip.endpoint}"
                endpoint = layers.Rescaling(skip.scale, name=name, dtype="float32")(endpoint)
            finer = _score(skip.score, endpoint, num_classes)  # (N, H/16, W/16, C), then H/8
            coarser = self._skip_upsampled(skip, scores, finer)
            if self.caffe:  # the coarser map is the smaller one, having lost 6 cells to fc6
                finer = _crop(skip.score, finer, coarser, skip.caffe_crop_px)
            scores = layers.Add(name=f"fuse_{skip.endpoint}", dtype="float32")([coarser, finer])
        if self.upsampling == "nonlinear":
            return self._nonlinear(scores, images)
        return self._last_upsampled(scores, images)  # (N, H, W, C)

    def _skip_upsampled(self, skip, scores, finer):
        """Scores at twice the resolution, cut to those that they join but for caffe."""
        learned = self.upsampling != "fixed"
        if self.caffe:
            return _transposed(skip.upscore, scores, 4, 2, learned)
        centre_px = self.trunk.centre
        scores = _interpolated(skip.upscore, scores, 2, centre_px, learned, finer)
        return _activated(skip.upscore, scores) if self.upsampling == "nonlinear" else scores

    def _last_upsampled(self, scores, images):
        """Scores (N, h, w, C) as logits of the images' size, in one step."""
        name, factor = self.variant.upscore, self.variant.factor
        learned = self.upsampling == "learned_all"
        if self.caffe:
            is_32s = factor == 32
            size = self.trunk.upscore_px if is_32s else 2 * factor
            own_crop_px = self.trunk.caffe_crop_px if is_32s else None
            logits = _transposed(name, scores, size, factor, learned)
            crop_px = self.variant.caffe_crop_px if own_crop_px is None else own_crop_px
            return _crop(name, logits, images, crop_px)
        centre_px = self.trunk.centre * (factor - 1)
        if factor == 32:  # a smaller stride leaves what a cell looks at as it is
            factor = self.output_stride
        return _interpolated(name, scores, factor, centre_px, learned, images)

    def _nonlinear(self, scores, images):
        """Logits of the images' size, by factors of 2 with an activation between."""
        centre_px, factor = self.trunk.centre, 2
        while factor < self.variant.factor:
            name = f"{self.variant.upscore}_x{factor}"
            scores = _activated(name, _interpolated(name, scores, 2, centre_px, True))
            factor *= 2
        name = f"{self.variant.upscore}_x{factor}"
        return _interpolated(name, scores, 2, centre_px, True, images)


def _score(name, features, num_classes):
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name=name, dtype="float32")(
        features
    )


def _activated(name, scores):
    # Not ReLU: it has no gradient at 0, where all scores start.
    return layers.Activation("elu", name=f"{name}_elu", dtype="float32")(scores)


def _interpolated(name, scores, factor, centre_px, learned, reference=None):
    """Bilinear upsampling of (N, h, w, C) scores that is exact up to the border.

    Args:
        name: str.
        scores: KerasTensor.
        factor: int.
        centre_px: float, where the centre of the first cell lies on the finer map.
        learned: bool.
        reference: the map to whose size the result is cut; default factor times the scores'.
    """
    # Where cells have their centre on a pixel of the finer map, an odd kernel puts them there.
    size = 2 * factor - 1 if factor > 1 and centre_px == int(centre_px) else 2 * factor
    # The cells that are repeated at the top left, and what is cut off there: as many as give
    # every place two cells to interpolate between.
    edge = 1
    while (crop_px := int(edge * factor + (size - 1) / 2 - centre_px)) < factor:
        edge += 1
    scores = EdgeCell(edge, name=f"{name}_edge", dtype="float32")(scores)
    scores = _transposed(name, scores, size, factor, learned)
    if reference is not None:
        return _crop(name, scores, reference, crop_px)
    # (h + 2) cells give factor * (h + 1) + size.
    cut = (crop_px, factor + size - crop_px)
    return layers.Cropping2D((cut, cut), name=f"{name}_crop", dtype="float32")(scores)


def _transposed(name, scores, kernel_size, factor, learned):
    """A transposed convolution that starts bilinear."""
    return layers.Conv2DTranspose(
        scores.shape[-1],
        kernel_size,
        strides=factor,
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=learned,
        name=name,
        dtype="float32",
    )(scores)


def _crop(name, scores, reference, offset_px):
    """Cuts the scores of a layer to the reference's height and width."""
    return Crop(offset_px, name=f"{name}_crop", dtype="float32")([scores, reference])
