"""Peak memory of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genx_runtimes.memory import read_available_bytes, read_peak_bytes


def test_the_peak_grows_by_what_is_held() -> None:
    code = (
        "from genx_runtimes.memory import read_peak_bytes as read\n"
        "before = read()\nheld = b'1' * 200_000_000\nprint(read() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 150e6 < int(done.stdout) < 300e6


def test_where_the_system_says_nothing(tmp_path: Path) -> None:
    assert read_peak_bytes(tmp_path) is None
    assert read_available_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("group", "files", "left"),
    [
        ("0::/box", {}, 8 * 2**30),
        ("0::/box", {"box/memory.max": "max", "box/memory.current": "5"}, 8 * 2**30),
        ("0::/a/b", {"a/memory.max": "3000", "a/memory.current": "1000"}, 2000),
        ("0::/a/b", {"a/memory.max": "3000", "a/memory.current": "4000"}, 0),
        (
            "0::/box",
            {
                "box/memory.max": "9000",
                "box/memory.current": "8000",
                "box/memory.stat": "anon 3000\nactive_file 1\ninactive_file 5000",
            },
            6000,
        ),
        (
            "9:memory:/box",
            {
                "memory/box/memory.limit_in_bytes": "7000",
                "memory/box/memory.usage_in_bytes": "1000",
            },
            6000,
        ),
    ],
)
def test_a_container_has_what_its_limit_leaves(
    tmp_path: Path, group: str, files: dict[str, str], left: int
) -> None:
    texts = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    texts["proc/self/cgroup"] = group
    texts["proc/meminfo"] = f"MemTotal: 9 kB\nMemAvailable: {8 * 2**20} kB\nSwapFree: 77 kB"
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert read_available_bytes(tmp_path) == left
