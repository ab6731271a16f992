"""Videos labelled: an overlay of every frame as a video, and the labels of each as a file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcn_tf.errors import InputError, RunError, failure_line
from fcn_tf.files import folder_written_whole, written_whole
from fcn_tf.images import DEFAULT_OPACITY
from fcn_tf.images.draw import blended, palette_picture
from fcn_tf.images.find import ImageFile
from fcn_tf.inference.frames import (
    BT709,
    VIDEO_SUFFIXES,
    Frame,
    Video,
    check_reads_videos,
    open_video,
)
from fcn_tf.inference.predictor import Predictor
from fcn_tf.progress import with_progress

OVERLAY_SUFFIX, LABELS_SUFFIX = ".overlay.mp4", ".labels"
# The first that FFmpeg has: H.264, which every player shows.
ENCODERS = ("libx264", "libopenh264", "mpeg4")
LIMITED_RANGE = 1  # FFmpeg's number of 16..235
FRAME_DURATIONS = 1 << 8  # FFmpeg's flag: a frame lasts as long as it says, the last one too


@dataclass(frozen=True)
class WantedOfVideos:
    """What to write of each video, and where.

    Args:
        out: folder for the files.
        overlay: whether the overlay is written, NAME.overlay.mp4.
        label_frames: whether the labels of each frame are, NAME.labels/000000.png.
        opacity: of the overlay's colours, 0 to 1.
        overwrite: whether videos whose files exist are taken again.
    """

    out: str | Path
    overlay: bool = True
    label_frames: bool = False
    opacity: float = DEFAULT_OPACITY
    overwrite: bool = False

    def paths(self, video: ImageFile) -> list[Path]:
        """The file and the folder that are written of a video."""
        name = Path(self.out) / video.name
        wanted = ((self.overlay, OVERLAY_SUFFIX), (self.label_frames, LABELS_SUFFIX))
        return [name.with_name(name.name + suffix) for is_wanted, suffix in wanted if is_wanted]


def split_videos(files: Sequence[ImageFile]) -> tuple[list[ImageFile], list[ImageFile]]:
    """Files that a command names: the videos by their suffixes, and the others.

    Raises:
        InputError: there are videos, and the extra `video` is not installed.
    """
    videos = [file for file in files if file.path.suffix.lower() in VIDEO_SUFFIXES]
    for video in videos[:1]:
        check_reads_videos(video.path)
    return videos, [file for file in files if file not in videos]


def label_videos(videos: Sequence[ImageFile], predictor: Predictor, wanted: WantedOfVideos) -> int:
    """Labels videos; one that fails is named on standard error, and does not stop the others.

    Args:
        videos: the videos.
        predictor: labels a frame.
        wanted: what to write.

    Returns:
        How many failed.

    Raises:
        InputError: nothing is wanted of a video.
    """
    if videos and not (wanted.overlay or wanted.label_frames):
        raise InputError(
            f"{videos[0].path}: of a video an overlay is written (--format overlay), and the "
            "labels of its frames (--label_frames); neither is asked for."
        )
    failed = 0
    for video in videos:
        if not wanted.overwrite and all(path.exists() for path in wanted.paths(video)):
            print(f"{video.path} is finished and left out; --overwrite predicts it again.")
            continue
        try:
            label_video(video, predictor, wanted)
        except Exception as error:  # memory, a codec: whatever it is, the others go on
            print(failure_line(video.path, error), file=sys.stderr)
            failed += 1
    return failed


def label_video(file: ImageFile, predictor: Predictor, wanted: WantedOfVideos) -> None:
    """Labels each frame of a video, with a bar, and prints what was written and left out.

    The overlay has the frames, the times and the rate of the video. The files appear once the last
    frame is labelled.

    Args:
        file: the video.
        predictor: labels a frame.
        wanted: what to write.

    Raises:
        InputError: it is no video, or a damaged one.
        RunError: the frames change their size.
    """
    classes = predictor.model.classes
    with contextlib.ExitStack() as files, open_video(file.path) as video:
        write_overlay = label_folder = None
        for path in wanted.paths(file):
            if path.name.endswith(OVERLAY_SUFFIX):
                beside = files.enter_context(written_whole(path))
                write_overlay = files.enter_context(_overlay_writer(beside, video))
            else:
                label_folder = files.enter_context(folder_written_whole(path))
        frames = with_progress(video.frames(), video.expected_frames, "frame")
        for number, frame in enumerate(frames):
            image = np.ascontiguousarray(frame.image)
            labels = predictor(image)
            if write_overlay:
                drawn = blended(image, labels, classes.palette, wanted.opacity)
                write_overlay(Frame(frame.time, frame.duration, np.asarray(drawn)))
            if label_folder:
                palette_picture(labels, classes.palette).save(label_folder / f"{number:06}.png")
    written = " and ".join(map(str, wanted.paths(file)))
    notes = f" ({'; '.join(video.notes)})" if video.notes else ""
    print(f"{file.path}: {number + 1} frames in {written}{notes}.", flush=True)


@contextlib.contextmanager
def _overlay_writer(path: Path, video: Video) -> Iterator[Callable[[Frame], None]]:
    """A function that adds a frame to a new video, at its time in `video`.

    Raises:
        RunError: the pictures change their size.
    """
    import av

    stream: Any = None
    size_px: tuple[int, ...] = ()

    def write(given: Frame) -> None:
        nonlocal stream, size_px
        picture = given.image
        if stream is None:
            size_px = picture.shape
            stream = _added_stream(container, video, size_px)
        if picture.shape != size_px:
            size, first = (f"{shape[0]}x{shape[1]} px" for shape in (picture.shape, size_px))
            raise RunError(f"its frames change from {first} to {size}: cut it there.")
        even = np.pad(picture, ((0, size_px[0] % 2), (0, size_px[1] % 2), (0, 0)), mode="edge")
        rgb = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame = rgb.reformat(
            format="yuv420p",
            dst_colorspace=BT709,
            dst_color_range=LIMITED_RANGE,
            dst_color_trc=BT709,
            dst_color_primaries=BT709,
        )
        frame.pts, frame.duration = given.time, given.duration
        frame.time_base = video.stream.time_base
        container.mux(stream.encode(frame))

    with av.open(str(path), "w", format="mp4") as container:
        yield write
        if stream is not None:
            container.mux(stream.encode(None))


def _added_stream(container: Any, video: Video, size_px: Sequence[int]) -> Any:
    """The stream of a new video, of even sides, with the rate and the times of another."""
    import av

    height_px, width_px = size_px[:2]
    encoder = next(name for name in ENCODERS if name in av.codecs_available)
    stream = container.add_stream(encoder, rate=video.rate)
    stream.height, stream.width = height_px + height_px % 2, width_px + width_px % 2
    if (stream.height, stream.width) != (height_px, width_px):
        video.notes.append(
            f"padded from {height_px}x{width_px} to {stream.height}x{stream.width} px, as the "
            "codec has even sides alone"
        )
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = video.stream.time_base
    context.flags |= FRAME_DURATIONS
    context.color_range = LIMITED_RANGE
    context.colorspace = context.color_primaries = context.color_trc = BT709
    if video.pixel_aspect:
        context.sample_aspect_ratio = video.pixel_aspect
    return stream
