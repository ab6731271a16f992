"""Videos for tests, written by PyAV."""

from fractions import Fraction

import numpy as np

# Along x and y of the screen; the last is the 1 of FFmpeg's layout.
STORED_ONE = 1 << 16


def pictures(count, size_px):
    """Frames of three even colours, whose place says how the frame is turned."""
    height_px, width_px = size_px
    frames = np.zeros((count, *size_px, 3), np.uint8)
    frames[:, :, :] = 30, 30, 200
    frames[:, : height_px // 2] = 30, 160, 30
    frames[:, : height_px // 2, : width_px // 2] = 200, 30, 30
    return frames


def write_video(path, frames, rate=25, times_ms=None, matrix=None, sound=False, lossless=False):
    """Writes frames, uint8 (N, H, W, 3) RGB.

    Args:
        path: of the file, whose suffix is its format.
        frames: the frames.
        rate: frames a second.
        times_ms: when each frame is shown; by default as often as `rate` says.
        matrix: how far x and y of a picture go along x and y of the screen, four numbers.
        sound: whether a second of silence lies beside.
        lossless: whether as FFV1, which takes odd sides.
    """
    import av

    # What an MP4 holds stands in front, so that a file that is cut off still opens.
    options = {"movflags": "faststart"} if path.suffix.lower() == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("ffv1" if lossless else "libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if lossless else "yuv420p"
        if matrix is not None:
            a, b, c, d = (STORED_ONE * value for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        silence = container.add_stream("aac", rate=8000) if sound else None
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if silence:
            samples = np.zeros((1, 8000), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(silence.encode(frame))
            container.mux(silence.encode(None))


def read_video(path):
    """The frames, uint8 (N, H, W, 3), their times in seconds, and the average rate."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        images = [frame.to_ndarray(format="rgb24") for frame in frames]
        return (
            np.stack(images),
            [frame.pts * stream.time_base for frame in frames],
            stream.average_rate,
        )
