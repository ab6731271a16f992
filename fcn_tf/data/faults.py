"""What is wrong with a file that breaks while the data are read."""

import contextlib
import re

import tensorflow as tf


@contextlib.contextmanager
def named_as(kind):
    """Turns a failed operation of the pipeline into an error that names the file, if it is known.

    Args:
        kind: the exception to raise, `InputError` or `RunError`.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnknownError) as error:
        named = re.search(r"InputError: (.*)", str(error))
        first = str(error).splitlines()[0]
        text = f"{first} (If it is a file, fcn-tf check-data says which.)"
        raise kind(named[1] if named else text) from error
