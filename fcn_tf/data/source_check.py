"""What is read of a TFDS data set before training begins: the classes in its masks."""

from __future__ import annotations

from fcn_tf.config.schema import DataConfig
from fcn_tf.data.faults import data_errors_as
from fcn_tf.data.frequencies import label_counts
from fcn_tf.data.occurrence import Occurrence, say_or_refuse, void_words
from fcn_tf.data.source import Source
from fcn_tf.errors import InputError

CHECKED_AT_START = 250  # masks of each split; `fcn-tf check-data` reads all


def check_source_at_start(source: Source, config: DataConfig) -> None:
    """Counts the first masks of train and val, and says which classes are missing.

    Where all labels of train that it finds are one class, it reads on until there is a second.

    Args:
        source: the data set.
        config: of the data set.

    Raises:
        InputError: everything labelled in train is one class, or a record cannot be decoded.
    """
    seen = []
    for split in ("train", "val"):
        found = Occurrence(split, source.split_sizes[split], void=void_words(config))
        with data_errors_as(InputError, source, split):
            for counts in label_counts(source, split):
                found.add(counts)
                enough = len(found.per_image) >= CHECKED_AT_START
                if enough and (split != "train" or found.classes_found() > 1):
                    break
        seen.append(found)
    say_or_refuse(seen, source.class_names, lambda: None)
