"""Errors in a data set's files that appear while TensorFlow reads them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from fcn_tf.errors import InputError, RunError


@contextlib.contextmanager
def data_errors_as(kind: type[InputError] | type[RunError]) -> Iterator[None]:
    """Turns an error of the input pipeline into one of ours, which names the file if it can.

    Args:
        kind: the exception to raise.

    Example:
        >>> with data_errors_as(RunError):
        ...     scores = evaluate(model, images)
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnknownError) as error:
        named = re.search(r"InputError: (.*)", str(error))
        first = str(error).splitlines()[0]
        text = f"{first} (If it is a file, fcn-tf check-data says which.)"
        raise kind(named[1] if named else text) from error
