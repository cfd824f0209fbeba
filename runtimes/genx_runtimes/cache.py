"""Where things are kept that can be made again: compiled graphs, measurements.

Source: XDG Base Directory Specification, `XDG_CACHE_HOME`.
"""

from __future__ import annotations

import os
from pathlib import Path

from genx_runtimes.writing import explain_os_error


def cache_folder(name: str) -> Path:
    """Return the folder `name` of the user's genx cache, made if need be.

    It lies in `$GENX_CACHE_DIR`, else in `$XDG_CACHE_HOME/genx`, else in `~/.cache/genx`.

    Raises:
        OutputError: it cannot be made.
    """
    own = os.environ.get("GENX_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME")
    root = Path(own) if own else Path(shared or Path.home() / ".cache") / "genx"
    folder = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise explain_os_error(err, folder) from err
    return folder
