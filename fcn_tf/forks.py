"""Whether this process was forked from one in which TensorFlow had begun to compute.

TensorFlow computes in threads, of which a forked child has none: it would wait for them for ever.
"""

import os
import sys

_computed_before_the_fork = False


def tensorflow_is_cut_off() -> bool:
    """Whether TensorFlow had begun to compute in a parent process, before a fork.

    It is noted from the first import of the package on.
    """
    return _computed_before_the_fork


def _note() -> None:
    """Notes at once, in a child: later on it may be the child that begins."""
    global _computed_before_the_fork
    threading = getattr(getattr(sys.modules.get("tensorflow"), "config", None), "threading", None)
    if threading is None or _computed_before_the_fork:
        return
    count = threading.get_inter_op_parallelism_threads()
    try:  # it is refused from the first computation on, which is how TensorFlow tells
        threading.set_inter_op_parallelism_threads(count + 1)
    except RuntimeError:
        _computed_before_the_fork = True
    else:
        threading.set_inter_op_parallelism_threads(count)


if hasattr(os, "register_at_fork"):  # where there are forks
    os.register_at_fork(after_in_child=_note)
