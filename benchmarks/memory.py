"""What memory a process takes. Its peak is read as Linux counts it (proc(5)), and nowhere else."""

import re
import sys
from pathlib import Path

import psutil

PROC = Path("/proc")


def resident_mb():
    """Resident memory of this process in MB."""
    return psutil.Process().memory_info().rss / 1e6


def peak_mb(process="self"):
    """The largest resident memory that a process has had, in MB.

    Args:
        process: its number, or "self".
    """
    status = _of_linux(PROC / str(process) / "status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) * 1024 / 1e6


def forget_peak():
    """The peak of this process begins anew."""
    _of_linux(PROC / "self" / "clear_refs").write_text("5")


def _of_linux(path):
    if not path.exists():
        sys.exit(f"This benchmark measures the peak of memory, which needs Linux: no {path} here.")
    return path
