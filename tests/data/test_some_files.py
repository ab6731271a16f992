"""The layout of very many files is found from some of them, in which each image has its mask."""

import pytest

from fcn_tf.data import some_files
from fcn_tf.data.find_layout import find_layout
from fcn_tf.data.layouts import LAYOUTS
from fcn_tf.data.listing import list_pairs
from fcn_tf.data.some_files import some_of
from fcn_tf.data.tree import Tree

WORDS = [
    f"{a}{b}{c}" for a in ("ash", "elm", "fir") for b in ("leaf", "bark") for c in "klmnopqrst"
]
NUMBERS = [f"{number:04}" for number in range(120)]
# The names of an image and of its mask, and what they have in common.
NAMINGS = {
    "folders": ("images/train/{}.jpg", "masks/train/{}.png", NUMBERS),
    "words": ("images/{}.jpg", "masks/{}.png", WORDS),
    "numbers that all have": (
        "leftImg8bit/train/a/a_000000_{}_leftImg8bit.png",
        "gtFine/train/a/a_000000_{}_gtFine_labelIds.png",
        NUMBERS,
    ),
    "beside each other": ("{}_image.png", "{}_mask.png", NUMBERS),
    "a folder each": ("scene{}/image.png", "scene{}/mask.png", NUMBERS),
    "hexadecimal": ("images/3f{}a9/x_2.jpg", "masks/3f{}a9/x_2.png", NUMBERS),
}


def tree_of(root, paths):
    tree = Tree(root)
    for path in sorted(paths):
        folder, _, name = path.rpartition("/")
        tree.folders.setdefault(folder, []).append(name)
    return tree


@pytest.mark.parametrize("naming", NAMINGS)
def test_an_image_is_taken_with_its_mask(naming, monkeypatch, tmp_path):
    image, mask, names = NAMINGS[naming]
    paths = [pattern.format(name) for name in names for pattern in (image, mask)]
    tree = tree_of(tmp_path, paths)
    assert some_of(tree) is None
    monkeypatch.setattr(some_files, "MANY", len(paths) - 1)
    monkeypatch.setattr(some_files, "ABOUT", len(paths) // 4)
    some = some_of(tree)
    taken = {f"{folder}/{name}".lstrip("/") for folder, of in some.folders.items() for name in of}
    pairs = [(image.format(name) in taken, mask.format(name) in taken) for name in names]
    assert all(of_image == of_mask for of_image, of_mask in pairs)
    assert len(names) / 10 < len(taken) / 2 < len(names) / 2
    layout = find_layout(some, LAYOUTS)
    assert str(layout) == str(find_layout(tree, LAYOUTS))
    assert list_pairs(tree, layout).num_pairs == len(names)
