"""A folder of pairs whose files are read in each of the ways there are."""

import numpy as np
from PIL import ExifTags, Image

NAMES = ("road", "car", "tree")
COLORS = ((128, 64, 128), (0, 0, 142), (107, 142, 35))
VOID_COLOR = (224, 224, 192)
TRAIN, VAL = 8, 2


def image(mode="RGB", seed=0):
    """A picture of 24x32 px (height x width) that a JPEG holds well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((32, 24)).convert(mode)


def mask(size_px=(24, 32), seed=0):
    """A mask in the colours of the classes; some pixels are not labelled."""
    height, width = size_px
    labels = np.random.default_rng(seed).integers(0, 4, (height // 4, width // 4))
    colors = np.array([*COLORS, VOID_COLOR], np.uint8)[labels]
    return Image.fromarray(colors.repeat(4, 0).repeat(4, 1))


def write_pair(folder, name, picture, labels, **how):
    """The files of a pair; `name` is SPLIT/NAME.SUFFIX."""
    for kind in ("images", "masks"):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
    picture.save(folder / "images" / name, **how)
    labels.save((folder / "masks" / name).with_suffix(".png"))


def tricky_folder(folder):
    """Writes the folder: `TRAIN` pairs in train, `VAL` in val, in colours that `NAMES` have."""
    rows = [" ".join(map(str, (name, *color))) for name, color in zip(NAMES, COLORS, strict=True)]
    folder.mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(rows))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    write_pair(folder, "train/plain.jpg", image(seed=1), mask(seed=1), quality=90)
    write_pair(folder, "train/turned.jpg", image(seed=2), mask((32, 24), seed=2), exif=exif)
    write_pair(folder, "train/stored.jpg", image(seed=3), mask(seed=3), exif=exif)
    write_pair(folder, "train/grey.png", image("L", seed=4), mask(seed=4))
    write_pair(folder, "train/ink.jpg", image("CMYK", seed=5), mask(seed=5))
    write_pair(folder, "train/a.webp", image(seed=6), mask(seed=6))
    write_pair(folder, "train/b.tif", image(seed=7), mask(seed=7))
    write_pair(folder, "train/clear.png", image("RGBA", seed=8), mask(seed=8))
    write_pair(folder, "val/site0/c.jpg", image(seed=9), mask(seed=9))
    write_pair(folder, "val/site1/d.png", image("P", seed=10), mask(seed=10))
    return folder
