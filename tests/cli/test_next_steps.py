"""What a command suggests at its end runs as it is printed."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import DATA, Done, Run

QUICK = ("--batch", "1", "--min-duration", "0.01", "--rounds", "1")


def follow(genx: Run, done: Done) -> str:
    """Run the suggested command; return it."""
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    assert words[0] == "genx"
    following = genx(*words[1:], *(QUICK if words[1] == "bench" else ()))
    assert following.code == 0, following.err
    return line


@pytest.mark.parametrize("name", ["tiny", "tiny_vae", "tiny_codes"])
@pytest.mark.parametrize("command", [("verify",), ("inspect",), ("bench", *QUICK)])
def test_after_a_look_at_a_bundle(genx: Run, name: str, command: tuple[str, ...]) -> None:
    line = follow(genx, genx(command[0], DATA / f"{name}.genx", *command[1:]))
    wanted = "-o samples.npy" if name == "tiny_codes" else "-o grid.png"
    assert line.endswith("--html report.html" if command[0] == "bench" else wanted)


def test_paths_that_a_shell_would_split(genx: Run, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "my model's.genx")
    follow(genx, genx("verify", "my model's.genx"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "--set label=balanced -o balanced.png"),
        (("--set", "label=3"), "genx bench "),
        (("--interpolate", "0:3"), "genx bench "),
    ],
)
def test_after_sampling(genx: Run, tiny: Path, options: tuple[str, ...], expected: str) -> None:
    assert expected in follow(genx, genx("sample", tiny, *options, "-o", "grid.png"))


@pytest.mark.parametrize("batch", ["10", "3:5", "100", "7:64"])
def test_batches_that_do_not_divide_64(genx: Run, models: Path, batch: str, tmp_path: Path) -> None:
    done = genx("export", "models.py:Flat", "--prior", "z=normal:8", "--batch", batch, "-o", "a b")
    assert done.code == 0, done.err
    follow(genx, genx("inspect", "a b"))
    assert (tmp_path / "samples.npy").is_file()
