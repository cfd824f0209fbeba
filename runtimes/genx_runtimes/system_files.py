"""The system's own descriptions of itself, in `/proc`, `/sys` and `/etc`."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """Return a file's text without the white space around it; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
