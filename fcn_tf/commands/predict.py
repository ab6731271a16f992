"""`fcn-tf predict`: the labels of many images, as files."""

from __future__ import annotations

from dataclasses import dataclass

from fcn_tf.commands.options import ImagesToFilesOptions, PredictionOptions, command
from fcn_tf.config.types import Shard
from fcn_tf.errors import InputError, RunError, check
from fcn_tf.files import make_folder
from fcn_tf.images import MAX_PIXELS
from fcn_tf.quiet import import_quietly


@dataclass(frozen=True, kw_only=True)
class PredictOptions(PredictionOptions, ImagesToFilesOptions):
    """Which images are labelled by which model, how, and what is written of them.

    Args:
        model: a run folder, a .keras file, a SavedModel, a .tflite or an .onnx file.
        batch_size: tiles of one size that run at once, for GPUs.
        max_pixels: the largest image that is read; default Pillow's limit, and none for maps of
            which png and geojson alone are written.
        shard: 0/4 to 3/4 take a quarter of the images each, for four machines.
        label_frames: of a video also write the labels of each frame, as PNG.
    """

    model: str
    batch_size: int = 1
    max_pixels: int | None = None
    shard: Shard | None = None
    label_frames: bool = False

    def __post_init__(self) -> None:
        PredictionOptions.__post_init__(self)
        ImagesToFilesOptions.__post_init__(self)
        check(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        allowed = "at least 1"
        check(
            self.max_pixels is None or self.max_pixels >= 1, "max_pixels", self.max_pixels, allowed
        )


def predict(options: PredictOptions) -> None:
    """Label images with a model of any kind: files of labels, overlays, scores.

    Raises:
        InputError: no such model or image, or options that do not fit the model.
        RunError: images or videos failed; each was named.

    Example:
        >>> predict(PredictOptions(model="runs/mine", images=("photos",), out="labelled"))
    """
    from fcn_tf.inference.kinds import needs_tensorflow

    if needs_tensorflow(options.model):
        import_quietly("tensorflow")
    import numpy as np

    from fcn_tf.images.depth import Clipped, clipping_line
    from fcn_tf.images.find import ImageFile, find_images
    from fcn_tf.images.georeference import place_of
    from fcn_tf.images.read import open_pixels
    from fcn_tf.inference.outputs import work_through
    from fcn_tf.inference.predictor import Predictor
    from fcn_tf.inference.video import WantedOfVideos, label_videos, split_videos
    from fcn_tf.inference.written import Prediction, Wanted, formats_of_scores

    wanted = Wanted(
        *(options.out, options.format, options.opacity, options.overwrite),
        simplify_px=options.simplify_px,
        shard=options.shard,
    )
    images = find_images(options.images, options.out, options.shard)
    if not images:
        return
    videos, images = split_videos(images)
    make_folder(options.out)
    predictor = Predictor(
        options.model,
        tile_px=options.tile_px,
        flip=options.flip,
        scales=options.scales,
        batch_size=options.batch_size,
        shows_progress=True,
    )
    wants_scores = bool(formats_of_scores(options.format))
    if wants_scores and predictor.model.scores is None:
        raise InputError("--format npy: this file gives labels alone; export it with scores.")
    wanted_of_videos = WantedOfVideos(
        out=options.out,
        overlay="overlay" in options.format,
        label_frames=options.label_frames,
        opacity=options.opacity,
        overwrite=options.overwrite,
    )
    failed = label_videos(videos, predictor, wanted_of_videos)

    value_range = predictor.model.value_range
    clipped: list[Clipped] = []

    def predicted(image: ImageFile) -> Prediction:
        is_map = predictor.can_tile and wanted.is_flat and place_of(image.path) is not None
        pixels = open_pixels(
            *(image.path, options.max_pixels or MAX_PIXELS, value_range, clipped),
            bands=predictor.model.bands,
            windows_of_any_size=is_map and options.max_pixels is None,
        )
        if is_map and not isinstance(pixels, np.ndarray):
            return Prediction(pixels, None, windows=predictor.windows(pixels))
        scores = predictor.scores(pixels) if wants_scores else None
        labels = predictor(pixels) if scores is None else scores.argmax(-1).astype(np.uint8)
        return Prediction(pixels, labels, scores)

    try:
        if images or not videos:
            work_through(images, predicted, predictor.model.classes, wanted)
    finally:
        for line in (clipping_line(clipped, value_range), predictor.other_sizes_line()):
            if line:
                print(line, flush=True)
    if failed:
        raise RunError(f"{failed} of {len(videos)} videos failed, as said above.")


COMMAND = command(PredictOptions, predict)
