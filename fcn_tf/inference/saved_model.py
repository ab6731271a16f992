"""A SavedModel as a function of images."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fcn_tf.errors import InputError
from fcn_tf.files import unreadable_as_input_error
from fcn_tf.inference.loaded import LoadedModel, described
from fcn_tf.inference.one_process import check_tensorflow_runs_here, in_one_process


def loaded_from_saved_model(folder: Path) -> LoadedModel:
    """Loads a SavedModel.

    Raises:
        InputError: it is damaged, or it is none of this package.
        RunError: this process was forked from one in which TensorFlow had begun to compute.
    """
    check_tensorflow_runs_here()
    with unreadable_as_input_error(folder, "a SavedModel"):
        loaded = tf.saved_model.load(str(folder))
    missing = {"scores", "labels"} - set(loaded.signatures)
    if missing:
        raise InputError(
            f"{folder} has no signature {' and '.join(sorted(missing))}: it is not an export of "
            "fcn-tf."
        )
    num_classes = loaded.signatures["scores"].structured_outputs["scores"].shape[-1]

    def checked(name: str) -> Callable[[NDArray[np.uint8]], Any]:
        def run(images: NDArray[np.uint8]) -> Any:
            try:
                # By way of `loaded`, which has to live as long as its signatures are called.
                return loaded.signatures[name](images=tf.constant(images))[name].numpy()
            except tf.errors.InvalidArgumentError as error:
                check = re.search(r"assertion failed: (.*)", error.message)
                reason = check[1] if check else error.message.splitlines()[-1]
                raise InputError(
                    "The SavedModel refuses the image; above the pixels that it was exported for "
                    f"(--saved_model.max_pixels) give --tile_px: {reason}"
                ) from error

        return in_one_process(run)

    return described(folder, checked("scores"), checked("labels"), num_classes)
