"""Small data sets of TFDS, built by the tests."""

import json
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fcn_tf.config.schema import Config, DataConfig

PETS = 12  # records of train
NAMES = ["none", "pet", "background", "border"]  # of the values 0 to 3


def pets(folder, **data):
    """The `DataConfig` of `ToyPets`, prepared in a folder."""
    data = {"class_names": NAMES, "tfds_name": "toy_pets", "tfds_dir": str(folder), **data}
    return Config(data=DataConfig(**data)).data


def picture(number):
    """A pet's image uint8 (5, 7, 3) and its trimap uint8 (5, 7, 1): 1 pet, 2 background, 3 border.

    Red is the number of the pet, green counts the pixels.
    """
    counts = np.arange(35, dtype=np.uint8).reshape(5, 7)
    image = np.stack([np.full_like(counts, number), counts, 255 - counts], -1)
    return image, ((counts + number) % 3 + 1)[..., None]


class ToyPets(tfds.core.GeneratorBasedBuilder):
    """As `oxford_iiit_pet` is made: an image, a mask of one channel, and more."""

    VERSION = tfds.core.Version("1.0.0")
    # Splits by name, and what they hold.
    SPLITS: ClassVar = {"train": PETS, "test": 3}

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
                    "label": tfds.features.ClassLabel(names=["cat", "dog"]),
                    "file_name": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split):
        for number in range(self.SPLITS[split]):
            image, mask = picture(number)
            yield (
                number,
                {
                    "image": image,
                    "segmentation_mask": mask,
                    "label": number % 2,
                    "file_name": f"{split}_{number}.png",
                },
            )


class LabelledPets(ToyPets):
    """The same with masks of several kinds, a validation split, and no names of files."""

    SPLITS: ClassVar = {"train": 2, "validation": 2}

    def _info(self):
        plane = tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding="zlib")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "photo": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "parts": tfds.features.Image(shape=(None, None, 1)),
                    "truth": tfds.features.LabeledImage(labels=NAMES, shape=(None, None, 1)),
                    "array": plane,
                    "small": plane,
                }
            ),
        )

    def _generate_examples(self, split):
        for number in range(self.SPLITS[split]):
            image, mask = picture(number)
            masks = {
                "parts": 0 * mask,
                "truth": mask,
                "array": mask[..., 0],
                "small": mask[:2, :, 0],
            }
            yield number, {"photo": image, **masks}


def build(folder, builder=ToyPets, file_format=None, shards=1):
    """Prepares a data set in a folder, and returns its builder."""
    built = builder(data_dir=folder)
    config = tfds.download.DownloadConfig(num_shards=shards)
    built.download_and_prepare(file_format=file_format, download_config=config)
    return built


def claim(builder, split, shard_lengths):
    """Lets the metadata of a prepared data set say other numbers of records."""
    file = builder.data_path / "dataset_info.json"
    info = json.loads(file.read_text())
    (entry,) = [entry for entry in info["splits"] if entry["name"] == split]
    entry["shardLengths"] = [str(length) for length in shard_lengths]
    file.write_text(json.dumps(info))


class DeepPets(tfds.core.GeneratorBasedBuilder):
    """Grey images of 12 bits: the values 0 to 34 times 100."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "scan": tfds.features.Image(
                        shape=(None, None, 1), dtype=np.uint16, encoding_format="png"
                    ),
                    "mask": tfds.features.Image(shape=(None, None, 1)),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(2):
            values = np.arange(0, 3500, 100, dtype=np.uint16).reshape(5, 7, 1)
            yield number, {"scan": values, "mask": picture(number)[1]}
