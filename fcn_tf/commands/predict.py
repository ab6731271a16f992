"""`fcn-tf predict`: the labels of many images, as files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fcn_tf.commands.options import (
    POSITIONAL,
    ImagesToFilesOptions,
    PredictionOptions,
    RunnerOptions,
    command,
    with_runner_options,
)
from fcn_tf.config.types import Shard
from fcn_tf.errors import RunError, check
from fcn_tf.files import make_folder
from fcn_tf.quiet import import_quietly

if TYPE_CHECKING:
    from fcn_tf.inference.written import Wanted


@dataclass(frozen=True, kw_only=True)
class PredictOptions(PredictionOptions, ImagesToFilesOptions, RunnerOptions):
    """Which images are labelled by which model, how, and what is written of them.

    Args:
        model: a run folder, a .keras file, a SavedModel, a .tflite or an .onnx file.
        images: files, folders, patterns ("photos/**/*.jpg"), or - for a list on standard input.
        input: for a --runner, in place of these: a file, a folder or a pattern, "gs://…/**.jpg".
        batch_size: tiles of one size that run at once, for GPUs; with a --runner images of one
            size, too.
        max_pixels: the largest image that is read; default Pillow's limit, and none for maps of
            which png and geojson alone are written.
        shard: 0/4 to 3/4 take a quarter of the images each, for four machines.
        label_frames: of a video also write the labels of each frame, as PNG.
    """

    model: str
    images: tuple[str, ...] = field(default=(), metadata=POSITIONAL)
    input: str | None = None
    batch_size: int = 1
    max_pixels: int | None = None
    shard: Shard | None = None
    label_frames: bool = False

    def __post_init__(self) -> None:
        PredictionOptions.__post_init__(self)
        ImagesToFilesOptions.__post_init__(self)
        RunnerOptions.__post_init__(self)
        self._check_input()
        check(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        allowed = "at least 1"
        check(
            self.max_pixels is None or self.max_pixels >= 1, "max_pixels", self.max_pixels, allowed
        )

    def _check_input(self) -> None:
        """Refuses images that are named in the way of another kind of work."""
        if self.runner is None:
            check(self.input is None, "input", self.input, "given with a --runner alone")
            check(bool(self.images), "images", "", "files, folders, patterns, or -")
            return
        shown = " ".join(self.images)
        check(not self.images, "images", shown, "named by --input, as there is a --runner")
        check(self.input is not None, "input", self.input, "a file, a folder or a pattern")
        allowed = "others than coco, one file of all images"
        check("coco" not in self.format, "format", ",".join(self.format), allowed)
        check(self.shard is None, "shard", str(self.shard), "left out: the runner spreads the work")
        allowed = "left out: a --runner labels images, no videos"
        check(not self.label_frames, "label_frames", self.label_frames, allowed)


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
    from fcn_tf.images.depth import Clipped, clipping_line
    from fcn_tf.images.find import ImageFile, find_images
    from fcn_tf.inference.labelling import Labeller
    from fcn_tf.inference.outputs import work_through
    from fcn_tf.inference.predictor import Predictor
    from fcn_tf.inference.video import WantedOfVideos, label_videos, split_videos
    from fcn_tf.inference.written import Prediction, Wanted

    wanted = Wanted(
        *(options.out, options.format, options.opacity, options.overwrite),
        simplify_px=options.simplify_px,
        shard=options.shard,
    )
    if options.runner is not None:
        _predict_on_runner(options, wanted)
        return
    images = find_images(options.images, options.out, options.shard)
    if not images:
        return
    videos, images = split_videos(images)
    make_folder(options.out)
    predictor = Predictor(options.model, **_how(options), shows_progress=True)
    labeller = Labeller(predictor, wanted, options.max_pixels)
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
        pixels = labeller.opened(image.path, clipped)
        return labeller.predictions([(image.path, pixels)])[0]

    try:
        if images or not videos:
            work_through(images, predicted, predictor.model.classes, wanted)
    finally:
        for line in (clipping_line(clipped, value_range), predictor.other_sizes_line()):
            if line:
                print(line, flush=True)
    if failed:
        raise RunError(f"{failed} of {len(videos)} videos failed, as said above.")


def _how(options: PredictOptions) -> dict[str, Any]:
    """The arguments of a `Predictor` that are options."""
    return {
        "tile_px": options.tile_px,
        "flip": options.flip,
        "scales": options.scales,
        "batch_size": options.batch_size,
    }


def _predict_on_runner(options: PredictOptions, wanted: Wanted) -> None:
    """The same, on a runner of Beam."""
    import_quietly("apache_beam")
    from fcn_tf.beam.images import Job
    from fcn_tf.beam.predicting import predict_on_runner

    assert options.runner is not None
    assert options.input is not None
    job = Job(model=options.model, wanted=wanted, max_pixels=options.max_pixels, **_how(options))
    predict_on_runner(job, options.input, options.runner, options.runner_options)


COMMAND = command(PredictOptions, predict, with_runner_options)
