"""Images a second of the input pipeline, beside PyTorch's and beside decoding alone.

    python benchmarks/data.py            # needs torch: pip install '.[bench]'

500 x 375 JPEGs with PNG masks, scaled at random by 0.5 to 2, cropped to 321,
flipped, in batches of 8. All sides cut the window out before they scale it. This
package reads them from a folder, and from a TFDS data set in either format.
Rounds are interleaved; medians of images a second, and their range.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from photographs import prepare
from PIL import Image
from toy import parse

from fcn_tf.config.schema import Config, DataConfig
from fcn_tf.data import open_source, training_batches

IMAGES = 400
SIZE_PX = (375, 500)
CROP_PX = 321
SCALES = (0.5, 2.0)
BATCH = 8
CLASSES = [f"class {index}" for index in range(21)]
AUGMENTED = {"batch_size": BATCH, "crop_px": CROP_PX, "scale_range": SCALES}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each side in each round")
    parser.add_argument("--workers", type=int, default=2, help="processes of PyTorch's loader")
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parse(parser, rounds=1, seconds=0.1, workers=1, images=8)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), arguments.images)
        prepared = {
            name: prepare(folder, arguments.images, name, Path(folder, name))
            for name in ("array_record", "tfrecord")
        }
        sides = {
            "fcn_tf": lambda: ours(folder),
            "fcn_tf, TFDS, array_record": lambda: ours_of_tfds(prepared["array_record"]),
            "fcn_tf, TFDS, tfrecord": lambda: ours_of_tfds(prepared["tfrecord"]),
            "decoding alone": lambda: decoding(folder),
            "PyTorch DataLoader, Pillow": lambda: torch_loader(folder, arguments.workers),
        }
        speeds = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, start in sides.items():
                # A new one each time: those that wait would go on to fill their buffers.
                speeds[name].append(images_per_second(start(), arguments.seconds))
    print("| pipeline | images/s, median | range | fcn_tf to it |")
    print("|---|---|---|---|")
    best = np.median(speeds["fcn_tf"])
    for name, seen in speeds.items():
        low, middle, high = min(seen), np.median(seen), max(seen)
        print(f"| {name} | {middle:.0f} | {low:.0f} to {high:.0f} | {best / middle:.2f} |")


def write_folder(folder, images, size_px=SIZE_PX):
    """Photograph-like images and masks of 21 classes, as many of train and two of val."""
    rng = np.random.default_rng(0)
    for split, size in (("train", images), ("val", 2)):
        for number in range(size):
            small = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            image = Image.fromarray(small).resize(size_px[::-1], Image.Resampling.BICUBIC)
            noise = rng.normal(0, 6, (*size_px, 3))
            pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
            labels = np.asarray(
                Image.fromarray(rng.integers(0, 21, (6, 8), dtype=np.uint8)).resize(
                    size_px[::-1], Image.Resampling.NEAREST
                )
            )
            write_pair(folder, f"{split}/{number:04d}", pixels, labels)
    write_class_names(folder)


def write_pair(folder, name, image, labels):
    """An image (H, W, 3) and its mask (H, W), uint8, of a folder data set; as SPLIT/FILE."""
    for kind, array, suffix in (("images", image, "jpg"), ("masks", labels, "png")):
        path = folder / kind / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path, quality=90)


def write_class_names(folder):
    (folder / "classes.txt").write_text("\n".join(CLASSES))


def ours(folder):
    """This package's batches, for ever."""
    return batches_of(DataConfig(name="folder", data_dir=folder, **AUGMENTED))


def ours_of_tfds(prepared):
    """The same of a prepared TFDS data set."""
    return batches_of(tfds_data(prepared, **AUGMENTED))


def tfds_data(prepared, **data):
    """The `DataConfig` of a data set as `prepare` makes it."""
    return DataConfig(name="tfds", tfds_name=prepared, class_names=CLASSES, **data)


def batches_of(data):
    """The training batches of a `DataConfig`, for ever."""
    config = Config(data=data).data
    return iter(training_batches(open_source(config), config, seed=0))


def decoding(folder):
    """Whole images and masks decoded by TensorFlow, and nothing else."""
    images = sorted(str(p) for p in Path(folder, "images", "train").iterdir())
    masks = [path.replace("images", "masks").replace(".jpg", ".png") for path in images]

    def decode(image, mask):
        return (
            tf.io.decode_jpeg(tf.io.read_file(image), channels=3),
            tf.io.decode_png(tf.io.read_file(mask), channels=1),
        )

    data = tf.data.Dataset.from_tensor_slices((images, masks)).repeat()
    data = data.map(decode, tf.data.AUTOTUNE, deterministic=True)
    return iter(data.batch(BATCH).prefetch(tf.data.AUTOTUNE))


def torch_loader(folder, workers):
    """The same operations with Pillow, in processes of PyTorch's DataLoader."""
    import torch

    images = sorted(Path(folder, "images", "train").iterdir())
    masks = [Path(str(path).replace("images", "masks")).with_suffix(".png") for path in images]

    class Crops(torch.utils.data.IterableDataset):
        def __iter__(self):
            worker = torch.utils.data.get_worker_info()
            rng = np.random.default_rng(worker.id if worker else 0)
            while True:
                index = rng.integers(len(images))
                yield torch_crop(images[index], masks[index], rng)

    loader = torch.utils.data.DataLoader(Crops(), BATCH, num_workers=workers, prefetch_factor=4)
    return iter(loader)


def torch_crop(image_path, mask_path, rng):
    """A crop as `fcn_tf.data.augment` takes it, by Pillow, which scales a box of the source.

    Where it scales down Pillow averages, which TensorFlow's bilinear does not.
    """
    import torch

    image, mask = Image.open(image_path), Image.open(mask_path)
    size = np.array([image.height, image.width])
    scale = np.exp(rng.uniform(np.log(SCALES[0]), np.log(SCALES[1])))
    window = np.minimum(size, np.ceil(CROP_PX / scale)).astype(int)
    scaled = np.minimum(CROP_PX, np.maximum(1, np.round(window * scale))).astype(int)
    top, left = (int(rng.integers(room + 1)) for room in size - window)
    above, before = (int(rng.integers(room + 1)) for room in CROP_PX - scaled)
    box = (left, top, left + window[1], top + window[0])
    mirrored = rng.random() < 0.5
    results = []
    for picture, method, fill in (
        (image, Image.Resampling.BILINEAR, (124, 117, 104)),
        (mask, Image.Resampling.NEAREST, 255),
    ):
        part = picture.resize((int(scaled[1]), int(scaled[0])), method, box=box)
        if mirrored:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        canvas = Image.new(part.mode, (CROP_PX, CROP_PX), fill)
        canvas.paste(part, (before, above))
        results.append(torch.from_numpy(np.array(canvas)))
    return results


def images_per_second(batches, seconds):
    """Over `seconds`, after what had been prepared in advance is used up."""
    for _ in range(12):
        next(batches)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
