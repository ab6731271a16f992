"""Small archives of the real formats: VOCdevkit as a tar, SBD as a tgz."""

import io
import tarfile
from itertools import chain

import numpy as np
import scipy.io
from PIL import Image

from fcn_tf.classes import voc_palette

# By name of the image, in which list it is. Two of the names are in seg11valid.txt.
VOC_LISTS = {
    "train": ["2007_000032", "2007_000039", "2007_000061"],
    "val": ["2007_000033", "2007_000042"],
}
# In both, in VOC's val, in seg11valid and SBD's train, and in SBD alone.
SBD_LISTS = {
    "train": ["2007_000032", "2007_000042", "2008_000008"],
    "val": ["2007_000033", "2008_000019"],
}


def image(number):
    """A small photograph of a size of its own, uint8 (H, W, 3)."""
    rng = np.random.default_rng(int(number.replace("_", "")))
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    size = (40 + int(rng.integers(20)), 30 + int(rng.integers(20)))
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def labels(number, seed=0):
    """Class indices of an image, uint8 (H, W); VOC's have VOID, SBD's (seed 1) have none."""
    height, width = image(number).shape[:2]
    rng = np.random.default_rng((int(number.replace("_", "")), seed))
    mask = np.kron(rng.integers(0, 21, (6, 6)), np.ones((9, 11))).astype(np.uint8)
    mask = mask[:height, :width]
    if not seed:
        mask[::7] = 255
    return mask


def palette_png(mask):
    """A PNG with VOC's palette."""
    picture = Image.fromarray(mask)
    picture.putpalette(voc_palette().tobytes())
    return encoded(picture, "PNG")


def encoded(picture, kind):
    content = io.BytesIO()
    picture.save(content, kind)
    return content.getvalue()


def write_tar(path, files):
    """Writes {name: bytes} as a tar, compressed if it is a .tgz."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_voc(path, lists=None):
    """VOCtrainval_11-May-2012.tar in small."""
    lists = lists or VOC_LISTS
    lists = {**lists, "trainval": sorted(chain(*lists.values()))}
    root = "VOCdevkit/VOC2012"
    files = {
        f"{root}/ImageSets/Segmentation/{name}.txt": "".join(f"{n}\n" for n in numbers).encode()
        for name, numbers in lists.items()
    }
    for number in lists["trainval"]:
        files[f"{root}/JPEGImages/{number}.jpg"] = encoded(Image.fromarray(image(number)), "JPEG")
        files[f"{root}/SegmentationClass/{number}.png"] = palette_png(labels(number))
        instances = np.where(labels(number) == 255, 255, labels(number) % 4).astype(np.uint8)
        files[f"{root}/SegmentationObject/{number}.png"] = palette_png(instances)
    # VOC has photographs without masks too.
    files[f"{root}/JPEGImages/2008_000001.jpg"] = files[f"{root}/JPEGImages/2007_000032.jpg"]
    write_tar(path, files)


def write_sbd(path):
    """benchmark.tgz in small."""
    root = "benchmark_RELEASE/dataset"
    files = {
        f"{root}/{name}.txt": "".join(f"{n}\n" for n in numbers).encode()
        for name, numbers in SBD_LISTS.items()
    }
    for number in chain(*SBD_LISTS.values()):
        content = io.BytesIO()
        mask = labels(number, seed=1)
        fields = {"Segmentation": mask, "CategoriesPresent": np.unique(mask)[:, None]}
        scipy.io.savemat(content, {"GTcls": fields})
        files[f"{root}/cls/{number}.mat"] = content.getvalue()
        files[f"{root}/img/{number}.jpg"] = encoded(Image.fromarray(image(number)), "JPEG")
    write_tar(path, files)
