"""What the C library does with large blocks of memory."""

import contextlib
import ctypes

# Names of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
KEPT_BYTES = 2**31 - 1


def keep_freed_memory():
    """Has glibc keep what is freed, for the next step.

    By default it gives every large block back to the kernel, which hands it out again at the
    next step page by page, cleared. Elsewhere than on glibc nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
