import re

import numpy as np
import pytest
from PIL import ExifTags, Image

from fcn_tf.data.pairs import Notes, Pair, fault_in, read_pair, size_problem
from fcn_tf.errors import InputError
from fcn_tf.images.masks import Coding
from fcn_tf.images.read import Reading


@pytest.mark.parametrize("height_px", [4, 5, 6])
def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path, height_px):
    pair = Pair(tmp_path / "a.jpg", tmp_path / "m.png")
    image, mask = (Image.fromarray(np.zeros((h, 7), np.uint8)) for h in (5, height_px))
    text = f"{pair.mask}: {height_px}x7 px, but a.jpg is 5x7 px (height x width)"
    if height_px == 5:
        assert size_problem(pair, image, mask) is None
    else:
        assert size_problem(pair, image, mask).startswith(text)


def jpeg(path, size_px, orientation):
    """A file whose pixels count from the left in each row."""
    height_px, width_px = size_px
    pixels = np.tile(np.arange(0, 16 * width_px, 16, dtype=np.uint8), (height_px, 1))
    own = Image.Exif()
    own[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=own, quality=100)


@pytest.fixture
def rotated(tmp_path):
    """Writes pairs by name: the size of the stored pixels, the orientation, and the mask's size."""

    def write(**files):
        pairs = []
        for name, (size_px, orientation, mask_px) in files.items():
            pair = Pair(tmp_path / f"{name}.png", tmp_path / f"{name}.mask.png")
            jpeg(tmp_path / f"{name}.jpg", size_px, orientation)
            (tmp_path / f"{name}.jpg").rename(pair.image)
            Image.fromarray(np.zeros(mask_px, np.uint8)).save(pair.mask)
            pairs.append(pair)
        return pairs

    return write


CODING = Coding(2, ())


@pytest.mark.parametrize(
    ("exif", "mask_px", "is_turned"),
    [
        ("auto", (8, 5), True),
        ("auto", (5, 8), False),
        ("apply", (8, 5), True),
        ("ignore", (5, 8), False),
    ],
)
def test_an_image_lies_as_its_mask_does(rotated, exif, mask_px, is_turned):
    (pair,) = rotated(a=((5, 8), 6, mask_px))
    image, mask = read_pair(pair, CODING, Reading(exif))
    assert image.shape[:2] == mask.shape[:2] == mask_px
    # What counts from the left counts from the top once it is turned.
    first = image[:, 0, 0] if is_turned else image[0, :, 0]
    assert np.round(first / 16).tolist() == list(range(8))


@pytest.mark.parametrize(
    ("exif", "mask_px"), [("auto", (8, 8)), ("apply", (5, 8)), ("ignore", (8, 5))]
)
def test_a_mask_that_does_not_fit_is_refused_with_the_orientation(rotated, exif, mask_px):
    (pair,) = rotated(a=((5, 8), 6, mask_px))
    turned = "" if exif == "ignore" else " and EXIF orientation 6"
    message = f"{mask_px[0]}x{mask_px[1]} px, but a.png is 5x8 px{turned} (height x width)"
    with pytest.raises(InputError, match=re.escape(message)):
        read_pair(pair, CODING, Reading(exif))


def test_a_mask_with_an_orientation_of_its_own_is_refused(rotated):
    (pair,) = rotated(a=((5, 8), 6, (5, 8)))
    own = Image.Exif()
    own[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.zeros((5, 8), np.uint8)).save(pair.mask, exif=own)
    with pytest.raises(InputError, match=r"it has an EXIF orientation \(6\)"):
        read_pair(pair, CODING)
    assert read_pair(pair, CODING, Reading("ignore"))[0].shape == (5, 8, 3)


def test_the_fault_of_a_pair_is_the_message_of_reading_it(rotated):
    good, bad = rotated(a=((5, 8), 1, (5, 8)), b=((5, 8), 1, (5, 7)))

    def read(pair):
        return read_pair(pair, CODING)

    assert fault_in(read, good) is None
    assert fault_in(read, bad).startswith(f"{bad.mask}: 5x7 px, but b.png is 5x8 px")


def lines_of(pairs, exif="auto"):
    notes = Notes()
    for pair in pairs:
        read_pair(pair, CODING, Reading(exif), notes)
    return notes.lines(len(pairs), Reading(exif))


def test_orientations_are_counted(rotated):
    plain = {f"p{number}": ((5, 8), 1, (5, 8)) for number in range(2)}
    turned = {f"t{number}": ((5, 8), 6, (8, 5)) for number in range(3)}
    turned["t2"] = ((8, 5), 6, (5, 8))  # as a portrait
    stored = {"s": ((8, 5), 8, (8, 5))}
    unclear = {"u": ((5, 8), 3, (5, 8)), "v": ((6, 6), 6, (6, 6))}
    assert lines_of(rotated(**plain)) == []
    assert lines_of(rotated(**plain, **turned, **unclear)) == [
        "5 of 7 images are turned by their EXIF orientation."
    ]
    assert lines_of(rotated(**plain, **turned, **stored, **unclear)) == [
        "5 of 8 images are turned by their EXIF orientation. 1 of 8 images have an EXIF "
        "orientation and are read as they are stored, because their masks fit only so. Warning: "
        "for 2 of those that are turned the size does not tell which way their masks lie. If they "
        "were drawn like the others, give --data.exif ignore."
    ]
    assert "Warning" not in lines_of(rotated(**plain, **turned, **stored))[0]
    assert lines_of(rotated(**plain, **stored, **unclear), "ignore") == [
        "3 of 5 images have an EXIF orientation and are read as they are stored (data.exif=ignore)."
    ]


def test_a_pair_takes_the_range_of_values(rotated):
    (pair,) = rotated(a=((5, 8), 1, (1, 2)))
    Image.fromarray(np.array([[100, 4000]], np.uint16)).save(pair.image)
    notes = Notes()
    image, _ = read_pair(pair, CODING, Reading("auto", (100, 2050)), notes)
    assert image[0, :, 0].tolist() == [0, 255]
    assert notes.clipped == [(str(pair.image), 0.5)]
