"""The system's own descriptions of itself, in `/proc`, `/sys` and `/etc`."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path("/")


def read_text(path: Path) -> str:
    """Return a file's text without the white space around it; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def read_board(root: Path = _ROOT) -> str:
    """Return the board's name; "" where there is no device tree, as on PCs.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    return read_text(root / "proc/device-tree/model").rstrip("\0")


def read_memory(name: str, root: Path = _ROOT) -> int | None:
    """Return a line of `/proc/meminfo` in bytes; None where it cannot be read.

    Args:
        name: such as "MemTotal".
        root: where `proc/` is found; another folder in tests.
    """
    text = read_text(root / "proc/meminfo")
    match = re.search(rf"^{re.escape(name)}:\s*(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None
