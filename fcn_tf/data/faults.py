"""Errors in a data set's files that appear while TensorFlow reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from fcn_tf.data.broken import FILE_ERRORS, find_fault, named_fault
from fcn_tf.data.source import Dataset, Source
from fcn_tf.errors import InputError, RunError


class BrokenFile(RunError):
    """A file of a data set cannot be used, which appears in the midst of a run."""


@contextlib.contextmanager
def data_errors_as(
    kind: type[InputError] | type[RunError],
    source: Source | None = None,
    records: Callable[[], Dataset] | str | None = None,
) -> Iterator[None]:
    """Turns an error of the input pipeline into one of ours, which names the file.

    Where the error does not name it, the records that were about to be read are read one by one.
    An error that no file causes passes unchanged.

    Args:
        kind: the exception to raise.
        source: the data set that is read, for errors that name no file.
        records: what is read of it: one of its splits, or a function that gives a finite
            `tf.data.Dataset` of its records.

    Example:
        >>> with data_errors_as(RunError, source, "val"):
        ...     scores = evaluate(model, images)
    """
    try:
        yield
    except FILE_ERRORS as error:
        text = named_fault(error)
        if text is None and source is not None and records is not None:
            suspects = source.records(records) if isinstance(records, str) else records()
            text = find_fault(source, suspects)
        if text is None:
            raise
        raise kind(text) from error
