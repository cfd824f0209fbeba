"""Peak memory of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from genx_runtimes.memory import read_peak_bytes


def test_the_peak_grows_by_what_is_held() -> None:
    code = (
        "from genx_runtimes.memory import read_peak_bytes as read\n"
        "before = read()\nheld = b'1' * 200_000_000\nprint(read() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 150e6 < int(done.stdout) < 300e6


def test_where_the_system_says_nothing(tmp_path: Path) -> None:
    assert read_peak_bytes(tmp_path) is None
