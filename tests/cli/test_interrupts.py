"""Ends from outside: Ctrl-C at any moment, SIGTERM, a file that may not grow."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Run, finish, list_files, start

from genx_runtimes import open_bundle

FLAT = ("export", "models.py:Flat", "--prior", "z=normal:8", "-o", "x.genx")
INTERRUPTED = "error: interrupted; nothing half written was left\n"


def _wait_for(folder: Path, suffix: str) -> None:
    limit = time.monotonic() + 60
    while not any(name.endswith(suffix) for name in list_files(folder)):
        assert time.monotonic() < limit
        time.sleep(0.02)


def _wait_until_begun(process: subprocess.Popen[str]) -> None:
    """Wait until genx handles SIGTERM: how long Python takes to start is up to the machine."""
    status = Path(f"/proc/{process.pid}/status")
    limit = time.monotonic() + 60
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:
        assert time.monotonic() < limit
        time.sleep(0.01)
        caught = int(re.findall(r"^SigCgt:\s*(\w+)$", status.read_text(), re.MULTILINE)[0], 16)


@pytest.mark.parametrize("name", ["big.png", "big.npy", "big"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_sampling_is_ended(
    tiny: Path, tmp_path: Path, name: str, number: signal.Signals, code: int
) -> None:
    process = start(tmp_path, "sample", tiny, "-n", 10**8, "-o", name)
    _wait_for(tmp_path, ".tmp")
    process.send_signal(number)
    done = finish(process)
    assert (done.code, done.out) == (code, "")
    assert done.err == (INTERRUPTED if number == signal.SIGINT else "")
    assert list_files(tmp_path) == set()


@pytest.mark.parametrize("delay", [0.02, 0.2, 0.5, 0.8])
def test_ctrl_c_while_torch_is_imported(models: Path, tmp_path: Path, delay: float) -> None:
    process = start(tmp_path, *FLAT)
    _wait_until_begun(process)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    # Interrupted inside exec(), as dataclasses use it at import, CPython ends by the signal itself
    # although the exception was caught; a shell shows 130 for both.
    assert done.code in (130, -signal.SIGINT)
    assert done.err == INTERRUPTED
    assert list_files(tmp_path) == {"models.py"}


def _run_with_small_files(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that may not write files beyond 1 kB: writing fails half way, for real."""
    return subprocess.run(
        [sys.executable, "-m", "genx_cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )


@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_sampling_that_cannot_be_written_whole(tiny: Path, tmp_path: Path, name: str) -> None:
    assert finish(start(tmp_path, "sample", tiny, "-n", 2, "-o", name)).code == 0
    before = (tmp_path / name).read_bytes()
    done = _run_with_small_files(tmp_path, "sample", str(tiny), "-n", "90", "-o", name, "--force")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: cannot write {name}: File too large; choose another place with -o\n"
    )
    assert list_files(tmp_path) == {name}
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("options", [(), ("--zip",)])
def test_a_bundle_that_cannot_be_written_whole(
    genx: Run, models: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert genx(*FLAT, "--name", "old").code == 0
    done = _run_with_small_files(tmp_path, *FLAT, "--force", "-q", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write x.genx: File too large; ")
    assert list_files(tmp_path) == {"models.py", "x.genx"}
    bundle = open_bundle(tmp_path / "x.genx")
    bundle.check_files()
    assert bundle.manifest.name == "old"
