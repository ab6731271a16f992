"""A TFDS data set of a folder's image files and masks, as many times over as is asked for."""

import io
from pathlib import Path

import tensorflow_datasets as tfds


def prepare(folder, records, file_format, tfds_dir):
    """Prepares a data set, and returns the folder in which it lies.

    Args:
        folder: with images/train/*.jpg and masks/train/*.png; the files are stored as they are.
        records: of train; val has two.
        file_format: "array_record" or "tfrecord".
        tfds_dir: where it is prepared.
    """
    images = sorted(Path(folder, "images", "train").iterdir())
    masks = [Path(folder, "masks", "train", f"{image.stem}.png") for image in images]
    pairs = [
        (image.read_bytes(), mask.read_bytes()) for image, mask in zip(images, masks, strict=True)
    ]

    def examples(count):
        for number in range(count):
            image, mask = map(io.BytesIO, pairs[number % len(pairs)])
            name = f"{number}.jpg"
            yield number, {"image": image, "segmentation_mask": mask, "file_name": name}

    tfds.disable_progress_bar()
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="photographs",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
                "file_name": tfds.features.Text(),
            }
        ),
        split_datasets={"train": examples(records), "val": examples(2)},
        data_dir=tfds_dir,
        file_format=file_format,
    )
    return str(builder.data_dir)
