"""Videos: what comes out has the frames, times and colours of what goes in."""

import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_tf.commands.predict import PredictOptions, predict
from fcn_tf.errors import InputError, RunError
from fcn_tf.images.draw import blended
from fcn_tf.images.find import ImageFile
from fcn_tf.inference.frames import open_video
from fcn_tf.inference.predictor import Predictor
from fcn_tf.inference.video import WantedOfVideos, label_videos, split_videos
from tests.extras import needs_extra
from tests.inference.handmade import PALETTE, handmade_model, handmade_scores
from tests.inference.videos import pictures, read_video, write_video

needs_av = needs_extra("video", "av")
NTSC = Fraction(30_000, 1001)


def label(*paths, out, predictor=None, **wanted):
    """Labels videos with the model made by hand; returns how many failed."""
    files = [ImageFile(path, Path(path.name)) for path in paths]
    predictor = predictor or Predictor(handmade_model()[0])
    return label_videos(files, predictor, WantedOfVideos(out, **wanted))


@needs_av
def test_an_overlay_has_as_many_frames_at_the_same_rate(tmp_path, capsys):
    """300 frames, whose sides are no multiples of 16; each is what `blended` makes of it."""
    frames = pictures(300, (34, 46))
    write_video(tmp_path / "a.mp4", frames, rate=NTSC)
    assert label(tmp_path / "a.mp4", out=tmp_path / "out", opacity=0.25) == 0
    given, times, rate = read_video(tmp_path / "a.mp4")
    drawn, drawn_times, drawn_rate = read_video(tmp_path / "out/a.mp4.overlay.mp4")
    assert len(drawn) == len(given) == 300
    assert (drawn_times, drawn_rate) == (times, rate)
    assert rate == NTSC
    labels = handmade_scores(frames[:1])[0].argmax(-1).astype(np.uint8)
    expected = np.asarray(blended(frames[0], labels, PALETTE, 0.25)).astype(int)
    middles = np.ix_([0, 150, 299], [8, 25], [11, 34])  # away from the borders of the colours
    assert np.abs(drawn[middles] - expected[middles[1][0], middles[2][0]]).max() < 6
    said = capsys.readouterr().out
    assert " 300/300 [" in said
    assert " frames/s]" in said
    assert said.endswith(f"a.mp4: 300 frames in {tmp_path / 'out/a.mp4.overlay.mp4'}.\n")


@needs_av
def test_frames_keep_their_times(tmp_path):
    """Frames that are shown for 10 to 400 ms each."""
    times_ms = [0, 40, 95, 105, 300, 310, 700]
    write_video(tmp_path / "a.mp4", pictures(7, (32, 32)), times_ms=times_ms)
    label(tmp_path / "a.mp4", out=tmp_path)
    _, times, rate = read_video(tmp_path / "a.mp4.overlay.mp4")
    assert times == [Fraction(time, 1000) for time in times_ms]
    assert rate == read_video(tmp_path / "a.mp4")[2]


@needs_av
def test_odd_sides_are_padded_and_the_labels_of_each_frame_are_not(tmp_path, capsys):
    frames = pictures(3, (33, 51))
    write_video(tmp_path / "a.mkv", frames, lossless=True)
    label(tmp_path / "a.mkv", out=tmp_path / "out", label_frames=True)
    assert "(padded from 33x51 to 34x52 px, as the codec has even sides" in capsys.readouterr().out
    drawn, _, _ = read_video(tmp_path / "out/a.mkv.overlay.mp4")
    assert drawn.shape == (3, 34, 52, 3)
    assert np.abs(drawn[:, 33].astype(int) - drawn[:, 32]).max() < 6  # the border is repeated
    files = sorted((tmp_path / "out/a.mkv.labels").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    with Image.open(files[2]) as labels:
        np.testing.assert_array_equal(labels, handmade_scores(frames[:1])[0].argmax(-1))
        assert labels.getpalette()[:9] == np.ravel(PALETTE).tolist()
    # Finished ones are left out; --overwrite writes the folder anew.
    (files[0].parent / "old").touch()
    label(tmp_path / "a.mkv", out=tmp_path / "out", label_frames=True)
    assert "a.mkv is finished and left out" in capsys.readouterr().out
    label(tmp_path / "a.mkv", out=tmp_path / "out", label_frames=True, overwrite=True)
    assert sorted(files[0].parent.iterdir()) == files


@needs_av
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    ],
)
def test_a_phones_frames_are_turned_as_it_says(tmp_path, matrix, expected):
    frames = pictures(2, (32, 48))
    write_video(tmp_path / "a.mp4", frames, matrix=matrix)
    with open_video(tmp_path / "a.mp4") as video:
        (_, _, image), _ = video.frames()
    assert image.shape == expected(frames[0]).shape
    assert np.mean(np.abs(image.astype(int) - expected(frames[0]))) < 6
    assert video.notes == ["its frames are turned as the file says"]


@needs_av
def test_frames_at_an_angle_are_refused(tmp_path, capsys):
    write_video(tmp_path / "a.mp4", pictures(2, (32, 48)), matrix=(1, 1, -1, 1))
    assert label(tmp_path / "a.mp4", out=tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "a.mp4" in said
    assert "turned by an angle that is no multiple of 90 degrees" in said


@needs_av
def test_a_damaged_video_ends_with_a_line_and_the_others_go_on(tmp_path, capsys):
    """Cut off, empty, no video, without pictures; what was written before stays."""
    good = tmp_path / "good.mp4"
    random = np.random.default_rng(0)
    write_video(good, random.integers(0, 256, (30, 32, 32, 3), np.uint8), lossless=False)
    contents = good.read_bytes()
    wrong = {"cut.mp4": contents[: len(contents) // 2], "empty.mp4": b"", "text.mp4": b"hello"}
    for name, some in wrong.items():
        (tmp_path / name).write_bytes(some)
    old = tmp_path / "out/cut.mp4.overlay.mp4"
    old.parent.mkdir()
    old.write_bytes(b"old")
    paths = [*(tmp_path / name for name in wrong), good]
    assert label(*paths, out=tmp_path / "out", overwrite=True) == 3
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert [line.split(" cannot be read as a video: ")[0] for line in lines] == [
        str(tmp_path / name) for name in wrong
    ]
    assert "good.mp4: 30 frames in " in said.out
    assert old.read_bytes() == b"old"
    assert sorted(file.name for file in old.parent.iterdir()) == [old.name, "good.mp4.overlay.mp4"]


@needs_av
def test_a_video_whose_end_is_missing_is_not_taken_for_whole(tmp_path):
    """Matroska counts no frames; a file that does is refused where fewer come, and at its end."""
    write_video(tmp_path / "a.mp4", pictures(30, (32, 32)))
    with open_video(tmp_path / "a.mp4") as video:
        end = video.stream.duration
        with pytest.raises(InputError, match=r"a\.mp4 ends after 20 of its 30 frames"):
            video._check_end(20, end * 2 // 3)
        video._check_end(28, end)
        assert video.notes == ["28 of the 30 frames in it are to be shown"]


@needs_av
def test_sound_is_left_out_and_said(tmp_path, capsys):
    write_video(tmp_path / "a.mp4", pictures(25, (32, 32)), sound=True)
    label(tmp_path / "a.mp4", out=tmp_path)
    assert "(its sound is left out)." in capsys.readouterr().out


@needs_av
def test_the_command_labels_videos_beside_images(tmp_path, monkeypatch, capsys):
    """Named ones: in a folder a video is passed over, and said to be."""
    monkeypatch.setattr(
        "fcn_tf.inference.predictor.Predictor",
        lambda model, **options: Predictor(handmade_model()[0]),
    )
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "a.MP4", pictures(2, (32, 32)))
    (folder / "broken.avi").write_bytes(b"")
    Image.fromarray(pictures(1, (8, 8))[0]).save(folder / "b.png")
    names = (str(folder / "a.MP4"), str(folder / "broken.avi"), str(folder))
    options = {"model": "m", "out": str(tmp_path / "out"), "label_frames": True}
    with pytest.raises(RunError, match="1 of 2 videos failed"):
        predict(PredictOptions(images=names, **options))
    written = {file.name for file in (tmp_path / "out").rglob("*.*")}
    assert written == {
        *("a.MP4.overlay.mp4", "a.MP4.labels", "000000.png", "000001.png"),
        *("b.png.png", "b.png.overlay.png"),
    }
    assert "Skipped: 2 files (1 .avi, 1 .mp4)." in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--format overlay.*--label_frames"):
        predict(PredictOptions(format="png", images=names[:1], model="m", out=options["out"]))


def test_without_the_extra_a_video_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    file = ImageFile(tmp_path / "a.mp4", Path("a.mp4"))
    with pytest.raises(InputError, match=r"a\.mp4 is a video: pip install 'fcn_tf\[video\]'"):
        split_videos([file])
    image = ImageFile(tmp_path / "a.png", Path("a.png"))
    assert split_videos([image]) == ([], [image])
