"""`--backend NAME:DEVICE` and `--allow-fallback`, with a device that is not here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is there")

MISSING = "this onnxruntime has no CoreMLExecutionProvider; it has "
NOTHING = "nothing runs on CoreMLExecutionProvider: all on CPUExecutionProvider"
COMMANDS = {
    "sample": ("-n", 2, "-o", "a.npy"),
    "verify": (),
    "bench": ("--batch", 1, "--min-duration", 0.01, "--rounds", 1, "--threads", 1),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_is_an_error(genx: Run, tiny: Path, command: str) -> None:
    done = genx(command, tiny, *COMMANDS[command], "--backend", "onnxruntime:coreml")
    assert done.code == 1
    assert MISSING in done.err
    assert "pip install 'onnxruntime>=1.21' on macOS" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_allowed_fallback_is_told(genx: Run, tiny: Path, command: str) -> None:
    options = (*COMMANDS[command], "--backend", "onnxruntime:coreml", "--allow-fallback")
    done = genx(command, tiny, *options)
    assert done.code == 0
    assert done.err.count(MISSING) == 1
    assert done.err.count(NOTHING) == 1
    if command == "bench":
        report = json.loads(genx(command, tiny, *options, "--json", "-").out)
        reasons = report["rows"][0]["reasons"]  # beside them may be what disturbed
        missing, nothing = (r for r in reasons if MISSING in r or r == NOTHING)
    else:
        report = json.loads(genx(command, tiny, *options, *_again(command), "--json").out)
        missing, nothing = report["notes"]
    assert (MISSING in missing, nothing) == (True, NOTHING)


def _again(command: str) -> tuple[str, ...]:
    return ("--force",) if command == "sample" else ()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime:cpu", "null", "auto"])
def test_nothing_to_fall_back_from(genx: Run, tiny: Path, command: str, backend: str) -> None:
    done = genx(command, tiny, *COMMANDS[command], "--backend", backend, "--allow-fallback")
    assert done.code == 2
    assert done.err.startswith("error: allowing a fallback has no meaning with the backend '")
    assert "or name a device: onnxruntime:cuda, " in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_cpu_by_name_and_a_wrong_device(genx: Run, tiny: Path, command: str) -> None:
    done = genx(command, tiny, *COMMANDS[command], "--backend", "onnxruntime:cpu")
    assert (done.code, done.err.count("CPUExecutionProvider")) == (0, 0)
    if command != "sample":
        assert "onnxruntime:cpu" in done.out
    done = genx(command, tiny, *COMMANDS[command], *_again(command), "--backend", "onnxruntime:gpu")
    assert done.code == 2
    assert "backend 'onnxruntime' has no device 'gpu'; there is: cpu, cuda, " in done.err


def test_a_picture_of_a_fallback(genx: Run, tiny: Path, tmp_path: Path) -> None:
    options = ("--backend", "onnxruntime:coreml", "--allow-fallback", "--picture", "p.png")
    assert genx("verify", tiny, *options).code == 0
    assert (tmp_path / "p.png").exists()
