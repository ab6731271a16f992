"""array_record files, which give any record by its number, inside TensorFlow graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from fcn_tf.data.source import Dataset
from fcn_tf.images.graph import Tensor


def example_at(source: Sequence[bytes], number: Tensor) -> Tensor:
    """The encoded example with a number, a scalar string, in graph mode.

    Args:
        source: as `raw_examples` gives it.
        number: int64, scalar.
    """

    def read(place: Any) -> bytes:
        # Not as an array: TensorFlow keeps the contents of an array of strings without axes.
        return source[int(place)]

    example = tf.numpy_function(read, (number,), tf.string, stateful=False)
    return tf.ensure_shape(example, ())


def raw_examples(builder: Any, split: str) -> Sequence[bytes]:
    """The encoded examples of a split that is stored as array_record.

    Args:
        builder: a `tfds.core.DatasetBuilder`, prepared.
        split: as TFDS spells it, "train[:100]" for instance.
    """
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    return builder.as_data_source(split, deserialize_method=raw)


class LoadsArrayRecords:
    """Lets `tfds.load` read a data set of ours, however it is stored.

    TFDS itself reads array_record files by `tfds.data_source` alone.
    """

    def as_dataset(
        self,
        split: Any = None,
        *,
        batch_size: int | None = None,
        shuffle_files: bool = False,
        decoders: Any = None,
        read_config: tfds.ReadConfig | None = None,
        as_supervised: bool = False,
    ) -> Any:
        """As `tfds.core.DatasetBuilder.as_dataset`, whose docstring says what is allowed.

        With `shuffle_files` the records are shuffled, from `read_config.shuffle_seed`.

        Raises:
            ValueError: `as_supervised` is asked for; our data sets have no keys for it.
        """
        builder: Any = self
        if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
            options = {
                "batch_size": batch_size,
                "shuffle_files": shuffle_files,
                "decoders": decoders,
                "read_config": read_config,
                "as_supervised": as_supervised,
            }
            return super().as_dataset(split, **options)  # type: ignore[misc]

        if as_supervised:
            raise ValueError(f"as_supervised: {builder.name} has no keys for it.")
        features = builder.info.features
        if isinstance(decoders, tfds.decode.PartialDecoding):
            features, decoders = decoders.extract_features(features), decoders.decoders

        def of_split(name: Any) -> Dataset:
            source = raw_examples(builder, name)
            numbers = tf.data.Dataset.range(len(source))
            if shuffle_files:
                numbers = numbers.shuffle(len(source), read_config and read_config.shuffle_seed)

            def read(number: Tensor) -> Any:
                example = example_at(source, number)
                return features.deserialize_example(example, decoders=decoders)

            data = numbers.map(read, tf.data.AUTOTUNE, deterministic=True)
            return data if batch_size is None else data.batch(batch_size)

        return tf.nest.map_structure(
            of_split, split or {name: name for name in builder.info.splits}
        )
