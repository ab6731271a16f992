"""A model computes in the process that loaded it, and in no child that is forked from that one.

TensorFlow, LiteRT and ONNX Runtime compute in threads, of which a forked child has none: a call
would wait for them for ever.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_tf.errors import RunError
from fcn_tf.forks import tensorflow_is_cut_off

FORKED = (
    "This process was forked from one that had begun to compute, and the threads that compute are "
    "in that one alone. Build the Predictor in each child process and none in the parent, or start "
    'the children without a fork: multiprocessing.get_context("spawn").'
)


def check_tensorflow_runs_here() -> None:
    """Refuses to load a model where TensorFlow would hang.

    Raises:
        RunError: this process was forked from one in which TensorFlow had begun to compute.
    """
    if tensorflow_is_cut_off():
        raise RunError(FORKED)


def processors() -> int:
    """How many processors this process computes with."""
    # Python 3.13 knows how many the process may use, older ones how many there are.
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1


def in_one_process(
    function: Callable[[NDArray[np.uint8]], Any],
) -> Callable[[NDArray[np.uint8]], Any]:
    """The function, which raises a `RunError` in a process that is forked from this one."""
    process = os.getpid()

    @functools.wraps(function)
    def run(images: NDArray[np.uint8]) -> Any:
        if os.getpid() != process:
            raise RunError(FORKED)
        return function(images)

    return run
