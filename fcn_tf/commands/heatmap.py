"""`fcn-tf heatmap`: where in an image a classifier or a segmentation model sees a class."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from fcn_tf.commands.options import POSITIONAL, command
from fcn_tf.config.schema import Preprocessing
from fcn_tf.config.types import Names
from fcn_tf.files import read_lines
from fcn_tf.quiet import import_quietly


@dataclass(frozen=True, kw_only=True)
class HeatmapOptions:
    """Which model looks for which classes in which image.

    Args:
        image: an image, larger than the classifier's.
        model: vgg16, the .keras or .h5 file of a classifier, or a segmentation model: a run folder
            or any file that fcn-tf predict takes.
        classes: names or numbers, "tabby,tiger cat".
        out: the PNG to write.
        preprocessing: what keras.applications documents for the classifier: caffe (BGR less the
            mean), tf (-1 to 1), torch (0 to 1, less the mean, by the deviation) or none; caffe for
            vgg16. A segmentation model holds its own.
        class_names: a file with a name a line; default ImageNet's where there are 1000 classes, and
            those of a segmentation model.
        weights: of vgg16, imagenet or a file of them.
    """

    image: str = dataclasses.field(metadata=POSITIONAL)
    model: str = "vgg16"
    classes: Names
    out: str
    preprocessing: Preprocessing | None = None
    class_names: str | None = None
    weights: str = "imagenet"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", Names.of(self.classes))


def heatmap(options: HeatmapOptions) -> None:
    """Draw where a classifier sees a class, its dense layers turned into convolutions, or an FCN.

    Raises:
        InputError: no such model, class or image, or a place that cannot be written to.

    Example:
        >>> heatmap(HeatmapOptions(image="cat.jpg", classes="tabby,tiger cat", out="cat.png"))
    """
    import_quietly("tensorflow")
    from fcn_tf.inference.heatmap import heatmap as draw_heatmap

    draw_heatmap(
        options.model,
        options.classes,
        options.image,
        options.out,
        preprocessing=options.preprocessing,
        class_names=read_lines(options.class_names) if options.class_names else None,
        weights=options.weights,
    )


COMMAND = command(HeatmapOptions, heatmap)
