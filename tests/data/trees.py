"""Trees of empty files, by which layouts are tested."""

from pathlib import Path

from fcn_tf.data.named_pairs import NamedPairs
from fcn_tf.data.pairs import Pair
from fcn_tf.data.tree import walk


def write_tree(root, paths):
    """Empty files below a folder; returns its `Tree`."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return walk(root)


def several(pattern, **values):
    """The paths of a pattern for all combinations of the values: {split} and so on."""
    paths = [pattern]
    for key, choices in values.items():
        paths = [p.replace(f"{{{key}}}", str(c)) for p in paths for c in choices]
    return paths


def pairs_of(images, masks, **values):
    """The paths of images with those of their masks, both made of a pattern by `several`."""
    return list(zip(several(images, **values), several(masks, **values), strict=True))


def called(names):
    """Pairs with these names, of files that are not there."""
    names = list(names)
    root = Path("nowhere")
    return NamedPairs.of(root, {name: Pair(root / "i" / name, root / "m" / name) for name in names})
