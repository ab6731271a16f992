"""TensorBoard's files of a run that is resumed: what lies past its place is taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from fcn_tf.files import written_whole

EVENT_FILES = "*.tfevents.*"


def drop_events(folder: str | Path, is_kept: Callable[[int], bool]) -> None:
    """Rewrites the event files in a folder without the values of some steps.

    TensorBoard shows all that the files of a folder hold, so that the curve of a resumed run
    would go back and begin anew. A file of which all is kept is left as it is.

    Args:
        folder: one split of `tensorboard/`; it need not exist.
        is_kept: whether the values of a step stay.
    """
    for path in sorted(Path(folder).glob(EVENT_FILES)):
        # Read twice, as the pictures of a long run do not fit into memory.
        if all(_stays(record, is_kept) for record in _records(path)):
            continue
        with written_whole(path) as beside, tf.io.TFRecordWriter(str(beside)) as file:
            for record in _records(path):
                if _stays(record, is_kept):
                    file.write(record)


def _stays(record: bytes, is_kept: Callable[[int], bool]) -> bool:
    """Whether an event stays: the head of a file, which has no value, or a value that is kept."""
    event = tf.compat.v1.Event.FromString(record)
    return not event.HasField("summary") or is_kept(event.step)


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file, up to one that a killed process did not write to its end."""
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError:
        return
