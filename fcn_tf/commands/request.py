"""`fcn-tf request`: a TensorFlow Serving server labels images."""

from __future__ import annotations

from dataclasses import dataclass

from fcn_tf.commands.options import ImagesToFilesOptions, command
from fcn_tf.config.schema import check_bands, check_value_range
from fcn_tf.errors import RunError, check, check_names
from fcn_tf.files import make_folder, read_lines
from fcn_tf.quiet import import_quietly


@dataclass(frozen=True, kw_only=True)
class RequestOptions(ImagesToFilesOptions):
    """Which images are sent to which server, how, and what is written of its answers.

    Args:
        url: http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME, either with /versions/N
            behind it for one version; https and grpcs are encrypted.
        format: what to write, some of png,gray,overlay,geojson,coco.
        concurrency: requests at once.
        timeout_seconds: how long the server may take for an image.
        class_names: the labels.txt of the export, for the overlay's legend; default numbers.
        value_range: for images of more than 8 bits a channel, the values that become 0 and 255, as
            in the export.json of the model; default such images are refused.
        bands: the bands of the image files that are red, green and blue, [4, 3, 2] for example, as
            in the export.json of the model.
    """

    url: str
    concurrency: int = 8
    timeout_seconds: float = 60.0
    class_names: str | None = None
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.concurrency >= 1, "concurrency", self.concurrency, "at least 1")
        check(self.timeout_seconds > 0, "timeout_seconds", self.timeout_seconds, "above 0")
        check_value_range("value_range", self.value_range)
        check_bands("bands", self.bands)


def request(options: RequestOptions) -> None:
    """Have a TensorFlow Serving server label images, over REST or gRPC.

    Raises:
        InputError: a URL of another form, or no image there.
        RunError: no server, no such model, or images that failed; each was named.

    Example:
        >>> request(RequestOptions(url="grpc://host:8500/scenes", images=("photos",), out="out"))
    """
    if options.url.startswith("grpc"):
        import_quietly("tensorflow")
    from fcn_tf.classes import VOID, Classes, check_num_classes
    from fcn_tf.images.depth import Clipped, clipping_line
    from fcn_tf.images.find import ImageFile, find_images
    from fcn_tf.images.read import read_rgb
    from fcn_tf.inference.client import connection, encoded, labels_of_answer
    from fcn_tf.inference.outputs import work_through
    from fcn_tf.inference.written import FORMATS, Prediction, Wanted, formats_of_scores

    formats = [kind for kind in FORMATS if not formats_of_scores([kind])]
    check_names("format", options.format, formats)
    wanted = Wanted(
        *(options.out, options.format, options.opacity, options.overwrite),
        simplify_px=options.simplify_px,
    )
    connect = connection(options.url)
    images = find_images(options.images, options.out)
    if not images:
        return
    names = read_lines(options.class_names) if options.class_names else None
    count = VOID if names is None else len(names)
    check_num_classes(count, f"number of classes in {options.class_names}")
    with connect(options.concurrency, options.timeout_seconds) as label_png_of:
        make_folder(options.out)

        clipped: list[Clipped] = []

        def predicted(image: ImageFile) -> Prediction:
            sent = encoded(image.path, options.value_range, clipped, options.bands)
            labels = labels_of_answer(label_png_of(sent), count)
            pixels = read_rgb(image.path, value_range=options.value_range, bands=options.bands)
            if pixels.shape[:2] != labels.shape:
                raise RunError("the answer has another size than the image.")
            return Prediction(pixels, labels)

        classes = Classes.of(names, None, count)
        try:
            work_through(images, predicted, classes, wanted, concurrency=options.concurrency)
        finally:
            if line := clipping_line(clipped, options.value_range):
                print(line, flush=True)


COMMAND = command(RequestOptions, request)
