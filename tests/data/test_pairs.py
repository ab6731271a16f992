import numpy as np
import pytest
from PIL import Image

from fcn_tf.data.listing import list_pairs
from fcn_tf.data.pairs import Pair, size_problem
from fcn_tf.errors import InputError


@pytest.fixture
def folders(tmp_path):
    """An image with a mask; ten without; a mask without an image."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for name in ("b.png", *(f"x{number}.png" for number in range(10)), ".c.png", "d.txt"):
        (tmp_path / "images" / name).touch()
    for name in ("b.png", "y.png", ".c.png", "b.txt", "x1.jpg"):
        (tmp_path / "masks" / name).touch()
    return tmp_path / "images", tmp_path / "masks"


def test_files_without_a_partner_are_found(folders):
    images, masks = folders
    problems = []
    assert list_pairs(images, masks, problems=problems) == [Pair(images / "b.png", masks / "b.png")]
    assert problems == [
        (masks / "y.png", "mask without a partner"),
        *((images / f"x{number}.png", "image without a partner") for number in range(10)),
    ]


@pytest.mark.parametrize(
    ("left", "more"), [(10, r" \(and 9 more\)"), (2, r" \(and 1 more\)"), (1, "")]
)
def test_an_image_without_a_mask_is_named_and_the_others_are_counted(folders, left, more):
    images, masks = folders
    (masks / "y.png").unlink()
    for number in range(left, 10):
        (images / f"x{number}.png").unlink()
    with pytest.raises(InputError, match=rf"^image \S+x0.png{more} has no partner .* in \S+masks:"):
        list_pairs(images, masks)


def test_images_without_a_mask_may_be_left_out(folders, capsys):
    images, masks = folders
    (masks / "y.png").unlink()
    assert len(list_pairs(images, masks, some_unlabelled=True)) == 1
    assert capsys.readouterr().out == f"10 images in {images} have no mask and are left out.\n"


@pytest.mark.parametrize("height_px", [4, 5, 6])
def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path, height_px):
    pair = Pair(tmp_path / "a.jpg", tmp_path / "m.png")
    image, mask = (Image.fromarray(np.zeros((h, 7), np.uint8)) for h in (5, height_px))
    text = f"{pair.mask}: {height_px}x7 px, but a.jpg is 5x7 px (height x width)"
    if height_px == 5:
        assert size_problem(pair, image, mask) is None
    else:
        assert size_problem(pair, image, mask).startswith(text)
