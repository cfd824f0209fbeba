"""How much memory this process has held at most.

Source: getrusage(2), `ru_maxrss`: KiB on Linux, bytes on macOS.
"""

from __future__ import annotations

import sys
from importlib import import_module


def read_peak_bytes() -> int | None:
    """Return the largest resident set of this process in bytes; None where the system says none."""
    try:
        resource = import_module("resource")
    except ImportError:  # Windows
        return None
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
