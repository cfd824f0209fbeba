"""Arguments that Typer refuses, and the shell's part: told as genx tells its own errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import SOURCES, Run, finish, start


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("exprot",), "no such command 'exprot'. Did you mean 'export'?; see genx --help"),
        (("--nope",), "no such option: --nope; see genx --help"),
        (("export",), "missing argument 'SOURCE'; see genx export --help"),
        (("inspect", "a", "b"), "got unexpected extra argument"),
        (("sample", "a.genx"), "missing option '-o' / '--out'; see genx sample --help"),
        (("sample", "a", "-n", "x", "-o", "y"), "invalid value for '-n': "),
        (("verify", "a", "--threads", "1.5"), "invalid value for '--threads': "),
    ],
)
def test_wrong_arguments_are_one_line(genx: Run, arguments: tuple[str, ...], error: str) -> None:
    done = genx(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {error}")
    assert len(done.err.splitlines()) == 1
    assert done.err.endswith(" --help\n")


def test_wrong_arguments_as_json(genx: Run) -> None:
    done = genx("sample", "a.genx", "--json")
    assert (done.code, done.err) == (2, "")
    assert json.loads(done.out)["error"] == {
        "type": "MissingParameter",
        "message": "missing option '-o' / '--out'",
        "fix": "see genx sample --help",
    }
    assert genx("sample", "a.genx").out == "", "--json of the run before must not last"


def test_genx_alone_shows_the_help(genx: Run) -> None:
    done = genx()
    assert done.code == 2
    assert "Usage: genx" in done.out
    assert done.err == ""


def test_an_error_of_many_lines_is_told_in_one(genx: Run, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def build():\n    raise ValueError('first\\n\\n  second')\n")
    done = genx("export", "m.py:build", "--prior", "z=normal:8", "-o", "x.genx")
    assert done.code == 1
    assert done.err.startswith("error: m.py:build failed: ValueError: first second; make it call")
    assert len(done.err.splitlines()) == 1


def test_completion_of_a_command(tmp_path: Path) -> None:
    environment = {"_GENX_COMPLETE": "complete_bash", "COMP_WORDS": "genx sam", "COMP_CWORD": "1"}
    assert finish(start(tmp_path, **environment)).out.strip() == "sample"


def test_output_that_no_one_reads(tiny: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "inspect", tiny)
    assert process.stdout is not None
    os.close(os.dup(process.stdout.fileno()))
    process.stdout.close()  # what `| head -0` does
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1


@pytest.mark.parametrize("arguments", [("inspect", "{}"), ("inspect", "{}", "--json"), ("--help",)])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_to_a_full_disk(tiny: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "genx_cli", *(a.format(tiny) for a in arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)},
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written: No space left on device\n"
