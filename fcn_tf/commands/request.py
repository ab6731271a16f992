"""`fcn-tf request`: a TensorFlow Serving server labels images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fcn_tf.classes import VOID, Classes, check_num_classes
from fcn_tf.commands.options import ImagesToFilesOptions, command
from fcn_tf.config.export_record import ExportRecord
from fcn_tf.config.schema import check_bands, check_value_range
from fcn_tf.errors import InputError, check, check_names
from fcn_tf.files import make_folder, read_lines
from fcn_tf.quiet import import_quietly

UNDESCRIBED = (
    "The server's model does not say what its classes are: it was exported by an older fcn-tf. "
    "Colours are those of PASCAL VOC, names those of --class_names, and images above its "
    "max_pixels are refused. Export it again to have all of it from the model."
)


@dataclass(frozen=True, kw_only=True)
class RequestOptions(ImagesToFilesOptions):
    """Which images are sent to which server, how, and what is written of its answers.

    Args:
        url: http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME, either with /versions/N or
            /labels/LABEL behind it for one version; https and grpcs are encrypted. The variable
            FCN_TF_TOKEN holds the bearer token of a server that asks for one.
        format: what to write, some of png,gray,overlay,geojson,coco.
        concurrency: requests at once.
        timeout_seconds: how long the server may take for an image.
        class_names: the labels.txt of the export, for the overlay's legend; default the names that
            the model has.
        value_range: for images of more than 8 bits a channel, the values that become 0 and 255;
            default those of the model, and without them such images are refused.
        bands: the bands of the image files that are red, green and blue, [4, 3, 2] for example;
            default those of the model.
    """

    url: str = field(repr=False)  # it may hold a password
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
    from fcn_tf.images.depth import clipping_line
    from fcn_tf.images.find import ImageFile, find_images
    from fcn_tf.inference.client import connection
    from fcn_tf.inference.outputs import work_through
    from fcn_tf.inference.sending import Sender
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
    if names is not None:
        check_num_classes(len(names), f"number of classes in {options.class_names}")
    with connect(options.concurrency, options.timeout_seconds) as server:
        if server.description is None:
            print(UNDESCRIBED, flush=True)
        model = server.description or ExportRecord()
        classes = _classes(names, model, options.class_names)
        value_range = options.value_range or model.value_range
        sender = Sender(
            label_png=server.label_png,
            num_classes=len(classes.names),
            max_pixels=model.max_pixels,
            margin_px=model.margin_px,
            value_range=value_range,
            bands=options.bands or model.bands,
        )
        make_folder(options.out)

        def predicted(image: ImageFile) -> Prediction:
            return Prediction(*sender(image.path))

        try:
            work_through(images, predicted, classes, wanted, concurrency=options.concurrency)
        finally:
            for line in (clipping_line(sender.clipped, value_range), sender.said_of_large()):
                if line:
                    print(line, flush=True)


def _classes(names: Sequence[str] | None, model: ExportRecord, file: str | None) -> Classes:
    """The classes: their names of the file, or else of the model, and the colours of the model.

    Raises:
        InputError: the file does not name as many classes as the model has.
    """
    known = model.classes or model.palette
    if names is None:
        return Classes.of(model.classes, model.palette, len(known) if known else VOID)
    if known and len(names) != len(known):
        raise InputError(f"{file} names {len(names)} classes, and the model has {len(known)}.")
    return Classes.of(names, model.palette, len(names))


COMMAND = command(RequestOptions, request)
