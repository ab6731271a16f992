"""The frames of a video file, as a player shows them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
# FFmpeg's numbers of matrices between YUV and RGB, and of the curves of HDR.
BT709, UNSPECIFIED, BT601 = 1, 2, 5
HDR_CURVES = (16, 18)
LEAST_LENGTH = 0.98  # of what a file says of its length: a shorter one is cut off
HD_HEIGHT_PX = 720  # untagged videos of this height and above are taken for BT.709, as players do
# Of a display matrix: how far x and y of the picture go along x and along y of the screen.
IDENTITY = (1, 0, 0, 1)
ONE = 1 << 16  # as the file stores a 1


class Frame(NamedTuple):
    """A frame as a player shows it.

    Args:
        time: when it is shown, in units of the stream's `time_base`.
        duration: for how long.
        image: uint8 (H, W, 3) RGB, turned as the file says.
    """

    time: int
    duration: int
    image: NDArray[np.uint8]


@dataclass
class Video:
    """A video that is open for reading.

    Args:
        path: of the file.
        container: PyAV's.
        notes: what is left out or changed, for the user; reading adds to it.
        is_on_its_side: whether its frames are turned by 90 degrees; known with the first.
    """

    path: str | os.PathLike[str]
    container: Any
    notes: list[str] = field(default_factory=list)
    is_on_its_side: bool = False

    @property
    def stream(self) -> Any:
        """PyAV's stream of pictures, the first."""
        return self.container.streams.video[0]

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    @property
    def expected_frames(self) -> int:
        """How many frames the file says that it has; 0 where it says nothing."""
        if self.stream.frames:
            return int(self.stream.frames)
        length = self.stream.duration and self.stream.duration * self.stream.time_base
        if not length and self.container.duration:
            length = Fraction(self.container.duration, 1_000_000)
        return round(length * self.rate) if length else 0

    @property
    def pixel_aspect(self) -> Fraction | None:
        """The width of a pixel over its height as it is shown, None where it is not known."""
        aspect: Fraction | None = self.stream.sample_aspect_ratio
        return 1 / aspect if aspect and self.is_on_its_side else aspect

    def frames(self) -> Iterator[Frame]:
        """The frames in the order in which they are shown, each later than the one before.

        Raises:
            InputError: the file is damaged.
        """
        count, damaged, time, end = 0, 0, -1, 0
        step = max(1, round(1 / (self.rate * self.stream.time_base)))
        with unreadable_as_input_error(self.path, "a video"):
            for frame in self.container.decode(self.stream):
                if count == 0:
                    self._note_of_first(frame)
                damaged += bool(frame.is_corrupt)
                if frame.pts is not None:
                    time = max(time + 1, frame.pts)  # some files have the same time twice
                else:
                    time = time + step if count else 0
                count, end = count + 1, time + (frame.duration or step)
                yield Frame(time, end - time, turned(_rgb(frame), frame))
        if not count:
            raise InputError(f"{self.path} has no frame that can be read.")
        self._check_end(count, end)
        if damaged:
            self.notes.append(f"{damaged} of its {count} frames are damaged")

    def _check_end(self, count: int, end: int) -> None:
        """Refuses a file that is cut off; notes frames that are not to be shown.

        Args:
            count: the frames that were read.
            end: of the last of them, as a time.
        """
        stream = self.stream
        if not stream.frames or count == stream.frames:
            return
        length = end - (stream.start_time or 0)
        if stream.duration and length < LEAST_LENGTH * stream.duration:
            raise InputError(
                f"{self.path} ends after {count} of its {stream.frames} frames: copy it again from "
                "where it came from."
            )
        self.notes.append(f"{count} of the {stream.frames} frames in it are to be shown")

    def _note_of_first(self, frame: Any) -> None:
        matrix = matrix_of(frame)
        self.is_on_its_side = matrix[0] == 0
        if matrix != IDENTITY:
            self.notes.append("its frames are turned as the file says")
        if frame.color_trc in HDR_CURVES:
            self.notes.append("it is HDR, and its colours are taken as they are stored")


@contextlib.contextmanager
def open_video(path: str | os.PathLike[str]) -> Iterator[Video]:
    """Opens a video.

    Args:
        path: of the file.

    Raises:
        InputError: the extra `video` is not installed, or the file is no video.
    """
    check_reads_videos(path)
    import av

    with unreadable_as_input_error(path, "a video"):
        container = av.open(os.fspath(path))
    with container:
        if not container.streams.video:
            raise InputError(f"{path} has no pictures.")
        video = Video(path, container)
        if container.streams.audio:
            video.notes.append("its sound is left out")
        yield video


def check_reads_videos(path: str | os.PathLike[str]) -> None:
    """Refuses a video where PyAV is not installed."""
    if importlib.util.find_spec("av") is None:
        raise InputError(f"{path} is a video: pip install 'fcn_tf[video]' reads it.")


def matrix_of(frame: Any) -> tuple[int, int, int, int]:
    """How a frame is turned and mirrored before it is shown.

    Raises:
        InputError: it is turned by something else than a multiple of 90 degrees.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY
    values = np.frombuffer(data, np.int32)
    # Of an angle between, all four are there, and no two of them are 1.
    a, b, c, d = (int(value) / ONE for value in values[[0, 1, 3, 4]])
    if {abs(a), abs(d)} | {abs(b), abs(c)} != {0, 1} or abs(a) != abs(d) or abs(b) != abs(c):
        raise InputError("its frames are turned by an angle that is no multiple of 90 degrees.")
    return int(a), int(b), int(c), int(d)


def turned(image: NDArray[np.uint8], frame: Any) -> NDArray[np.uint8]:
    """A picture as its frame is shown."""
    a, b, c, d = matrix_of(frame)
    if a:
        return image[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]
    # The screen's x is the picture's y, and the other way round.
    return image.swapaxes(0, 1)[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1]


def _rgb(frame: Any) -> NDArray[np.uint8]:
    """A decoded frame as uint8 (H, W, 3) RGB."""
    matrix = None  # the frame's
    if frame.colorspace == UNSPECIFIED:
        matrix = BT709 if frame.height >= HD_HEIGHT_PX else BT601
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    return pixels
