"""Promises about the command line as a whole, its documents and its package."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, Run, finish, start

from genx_cli import extras
from genx_runtimes.version import __version__

HEAVY = ("numpy", "PIL", "msgspec", "onnxruntime", "onnx", "torch", "genx_export", "uvicorn")
COMMANDS = ("export", "verify", "sample", "inspect", "bench", "doctor", "serve")


def test_version_and_help(genx: Run) -> None:
    assert genx("--version").out == f"genx {__version__}\n"
    done = genx("-h")
    assert done.code == 0
    for command in COMMANDS:
        assert command in done.out
        assert genx(command, "--help").code == 0
    assert genx("exprot").code == 2


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import atexit, sys\nfrom genx_cli.__main__ import main\n"
        "sys.argv[1:] = ['--help']\n"
        f"loaded = lambda: [name for name in {HEAVY} if name in sys.modules]\n"
        "atexit.register(lambda: print('LOADED', loaded()))\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_serving_without_its_packages_names_the_extra(
    genx: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda n: None if n == "starlette" else known(n))
    done = genx("serve", tiny)
    assert done.code == 1
    assert done.err == "error: genx serve needs starlette; pip install 'genx[serve]'\n"


def test_the_module_can_be_run_with_warnings_as_errors(tiny: Path, tmp_path: Path) -> None:
    done = finish(start(tmp_path, "sample", tiny, "-n", 2, "-o", "x.png", PYTHONWARNINGS="error"))
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(tmp_path: Path, shell: str) -> None:
    done = finish(start(tmp_path, _GENX_COMPLETE=f"source_{shell}"))
    assert done.code == 0
    assert "_GENX_COMPLETE=complete_" in done.out


def test_the_manual_is_the_help() -> None:
    command = [sys.executable, "-m", "typer", "genx_cli.app", "utils", "docs", "--name", "genx"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert made.strip() == written.strip(), "docs/cli.md is old: run `make docs`"


def test_the_readme_commands_run(tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("genx ")]
    assert len(commands) >= 8
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        if words[0] == "bench":
            words += ["--min-duration", "0.1", "--rounds", "1"]
        elif words[0] == "quantize":
            words += ["--form", "rewritten"]  # rather than measure which form is the fastest
        elif "auto" in words:
            words += ["--precision", "int8", "--threads", "1"]  # fewer to measure
        done = finish(start(tmp_path, *words))
        assert done.code == 0, f"{command}\n{done.err}"
    for name in ("grid.png", "walk.png", "digits.npy", "threes/000009.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_readme_python_runs(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(code) == 1
    (tmp_path / "dcgan.genx").symlink_to(ROOT / "tests" / "data" / "tiny.genx")
    code[0] += "    print(pixels.shape)\n"
    done = subprocess.run(
        [sys.executable, "-c", code[0]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "(16, 8, 8, 1)"


def test_what_is_in_the_wheel(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        names = wheel.namelist()
        info = f"genx-{__version__}.dist-info"
        metadata = wheel.read(f"{info}/METADATA").decode()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"genx_cli", "genx_export", "genx_runtimes", info}
    for package in ("genx_cli", "genx_export", "genx_runtimes"):
        assert f"{package}/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert {n for n in names if not n.startswith(info)} == {
        path.relative_to(path.parents[len(path.relative_to(ROOT).parts) - 2]).as_posix()
        for folder in ("cli", "gen_export", "runtimes")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert sorted(required) == ["msgspec", "numpy", "onnxruntime", "pillow", "typer"]
