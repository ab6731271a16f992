"""What the pages take for granted: photos, labelled folders, runs and models, all of toy size.

Each key of `PREPARED` is the path at which a page finds it; its function writes it there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_tf.data.shapes import CLASSES, draw_scene
from tests.documents.table import HEAD_UNITS, NARROW, SCENES_RUNS, TOY, WIDTH
from tests.networks import fill, keras_vgg16, narrow_fcn, random_images

STREET_CLASSES = ("road", "car", "tree")
STREET_COLORS = ((128, 64, 128), (0, 0, 142), (107, 142, 35))
CAMVID_CLASSES = 11
PHOTO_PX, PAIR_PX = (64, 96), (48, 64)


def prepare(folder: Path, paths: Sequence[str], scenes_run: Path) -> None:
    """Writes what a page takes for granted.

    Args:
        folder: that in which the page runs.
        paths: keys of `PREPARED`, or some of `SCENES_RUNS`; they are written in this order.
        scenes_run: the run folder of which `SCENES_RUNS` are copies.
    """
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in SCENES_RUNS:
            shutil.copytree(scenes_run, target)
        else:
            PREPARED[path](target)


def make_scenes_run(workdir: Path) -> None:
    """A run of two steps on `shapes` whose network answers several classes.

    Its best model is replaced by one with random weights: an export refuses a network that
    answers the same everywhere, as one of two steps does.
    """
    import fcn_tf

    fcn_tf.train(fcn_tf.load_config("shapes", **TOY), workdir)
    model = fcn_tf.load_model(workdir)
    fill(model, seed=1)  # of this one int8 has the same label on 99.7 % of the decided pixels
    scene = draw_scene(np.random.default_rng(0))[0]
    logits = np.asarray(model(scene[None], training=False))
    bias = model.get_layer("score_fr").bias
    bias.assign(bias - logits.mean((0, 1, 2)))
    labels = np.asarray(model(scene[None], training=False)).argmax(-1)
    assert np.bincount(labels.ravel(), minlength=len(CLASSES)).max() < 0.8 * labels.size
    model.save(workdir / "model.keras")


def save(array: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def photos(folder: Path) -> None:
    save(random_images(*PHOTO_PX, 3), folder / "a.jpg")
    save(random_images(*PHOTO_PX[::-1], 3, seed=1), folder / "b/c.jpg")


def photo(file: Path) -> None:
    save(random_images(*PHOTO_PX, 3), file)


def wide_photo(file: Path) -> None:
    """Larger than the 128 px that the prepared classifier takes."""
    save(random_images(160, 192, 3), file)


def labels(count: int, seed: int) -> NDArray[np.uint8]:
    """A mask uint8 (H, W) in which every class occurs."""
    height, width = PAIR_PX
    columns = np.arange(width) * count // width
    shifted = (columns + seed) % count
    return np.broadcast_to(shifted, (height, width)).astype(np.uint8)


def pairs(folder: Path, images: str, masks: str, classes: int) -> None:
    """Two pairs of each split; `images` and `masks` are patterns of their folders."""
    for split in ("train", "val", "test"):
        for number in range(2):
            image = random_images(*PAIR_PX, 3, seed=number)
            save(image, folder / images.format(split) / f"{number}.png")
            save(labels(classes, number), folder / masks.format(split) / f"{number}.png")


def street(folder: Path) -> None:
    pairs(folder, "images/{}", "masks/{}", len(STREET_CLASSES))
    (folder / "classes.txt").write_text("\n".join(STREET_CLASSES))


def retina(folder: Path) -> None:
    """Two masks of each image: what an expert drew, and the field of view."""
    for split in ("training", "test"):
        for number in range(2):
            image = random_images(*PAIR_PX, 3, seed=number)
            save(image, folder / f"{split}/images/{number}_{split}.png")
            save(labels(2, number), folder / f"{split}/1st_manual/{number}_manual1.png")
            save(labels(2, number), folder / f"{split}/mask/{number}_{split}_mask.png")
    (folder / "classes.txt").write_text("background\nvessel\n")


def camvid(folder: Path) -> None:
    """The SegNet tutorial's layout, with pixels of value 11, which the recipe ignores."""
    pairs(folder, "{}", "{}annot", CAMVID_CLASSES + 1)


def cvat(folder: Path) -> None:
    """What CVAT exports as "Segmentation mask 1.1"."""
    members = {"Train": (0, 1), "Validation": (2,)}
    listed = folder / "ImageSets/Segmentation"
    listed.mkdir(parents=True)
    for split, numbers in members.items():
        (listed / f"{split}.txt").write_text("\n".join(map(str, numbers)))
        for number in numbers:
            save(random_images(*PAIR_PX, 3, seed=number), folder / f"JPEGImages/{number}.jpg")
            colored = np.array(STREET_COLORS, np.uint8)[labels(len(STREET_CLASSES), number)]
            save(colored, folder / f"SegmentationClass/{number}.png")
    lines = [
        f"{name}:{','.join(map(str, color))}::"
        for name, color in zip(STREET_CLASSES, STREET_COLORS, strict=True)
    ]
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]))


def recipe(file: Path) -> None:
    file.write_text("data:\n  data_dir: street\n")


def street_model(file: Path) -> None:
    classes = len(STREET_CLASSES)
    narrow_fcn("fcn8s", classes, class_names=STREET_CLASSES, **NARROW).save(file)


def street_run(folder: Path) -> None:
    """What `evaluate` reads of a run."""
    folder.mkdir()
    recipe(folder / "config.yaml")
    street_model(folder / "model.keras")


def exported(folder: Path) -> None:
    """An int8 TFLite file of the page's run, which is prepared before."""
    import fcn_tf
    from fcn_tf.config.types import Names
    from fcn_tf.exporting.options import ExportOptions, TFLiteOptions

    tflite = TFLiteOptions(quantize=Names(["int8"]), calibration_images=20)
    run = folder.parent.parent / "runs/shapes-fcn8s"
    fcn_tf.export(run, folder, options=ExportOptions(formats=Names(["tflite"]), tflite=tflite))


def resnet(file: Path) -> None:
    """torchvision's network, narrow, with VOC's number of classes."""
    narrow_fcn("fcn_resnet50", 21, width=WIDTH, head_units=4096).save(file)


def vgg16(file: Path) -> None:
    """A narrow VGG16 with the layers of keras.applications."""
    keras_vgg16(WIDTH, HEAD_UNITS).save(file)


def mobilenet(file: Path) -> None:
    import keras

    shape = (128, 128, 3)
    keras.applications.MobileNet(shape, alpha=0.25, weights=None, classes=4).save(file)


PREPARED: dict[str, Callable[[Path], None]] = {
    "photos": photos,
    "photo.jpg": photo,
    "retina": retina,
    "street": street,
    "street.jpg": wide_photo,
    "street.yaml": recipe,
    "CamVid": camvid,
    "cvat_export": cvat,
    "model.keras": street_model,
    "runs/street": street_run,
    "exported/scenes": exported,
    "voc.keras": resnet,
    "vgg16.keras": vgg16,
    "mobilenet.keras": mobilenet,
}
