"""`genx build` and `genx inspect --engine`, with the real TensorRT-RTX."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import DATA, Run

TARGET = ("--target", "tensorrt-rtx")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "cache"))
    return Path(shutil.copytree(DATA / "tiny.genx", tmp_path / "tiny.genx"))


def test_build_and_inspect(genx: Run, bundle: Path) -> None:
    command = ("build", str(bundle), *TARGET, "--compute-capability", "8.6")
    done = genx(*command)
    assert done.code == 0, done.err
    assert "built 1 engines, 0 were there" in done.out
    assert "not verified: they have not run on a GPU yet" in done.out
    assert done.out.splitlines()[-1].startswith("next: genx verify ")
    assert (
        "0 engines, 1 were there"
        in genx("build", str(bundle), *TARGET, "--compute-capability", "8.6").out
    )
    shown = genx("inspect", "--engine", str(bundle))
    assert "valid for linux x86_64, compute capability 8.6" in shown.out
    assert "batch 1 to" in shown.out
    assert genx("inspect", str(bundle)).code == 0
    (engine,) = bundle.rglob("*.engine")
    assert genx("inspect", "--engine", str(engine)).out == shown.out
    engine.write_bytes(engine.read_bytes()[:-1])
    broken = genx("inspect", "--engine", str(engine))
    assert broken.code == 1
    assert "bytes, expected" in broken.err


def test_for_machines(genx: Run, bundle: Path) -> None:
    done = genx("build", str(bundle), *TARGET, "--cache", "--json")
    (engine,) = json.loads(done.out)["engines"]
    assert engine["new"] is True
    assert engine["sidecar"]["max_error"] is None
    assert Path(engine["path"]).is_file()
    assert not (bundle / "engines").exists()
    shown = json.loads(genx("inspect", "--engine", str(bundle), "--json").out)
    assert [e["path"] for e in shown["engines"]] == [engine["path"]]


def test_a_dry_run_builds_nothing(genx: Run, bundle: Path) -> None:
    done = genx("build", str(bundle), *TARGET, "--dry-run")
    assert done.code == 0
    assert "fp32 generator would be " in done.out
    assert "nothing was built" in done.out
    assert not list(bundle.rglob("*.engine"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--target", "tensorflow"), 2, "unknown target 'tensorflow'; did you mean 'tensorrt'?"),
        (("--target", "tensorrt"), 1, "tensorrt cannot be loaded"),
        ((*TARGET, "--precision", "int9"), 2, "no precision 'int9'"),
        ((*TARGET, "--batch", "1:2"), 2, "batch is '1:2', expected MIN:OPT:MAX"),
        ((*TARGET, "--batch", "1:8:9999"), 2, "the bundle's bounds"),
        ((*TARGET, "--compute-capability", "8.7"), 2, "does not build for compute capability 8.7"),
        ((*TARGET, "--dla", "0"), 2, "--dla is for --target tensorrt"),
        ((*TARGET, "--timing-cache", "x"), 2, "--timing-cache is for --target tensorrt"),
    ],
)
def test_wrong_arguments(
    genx: Run, bundle: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = genx("build", str(bundle), *arguments)
    assert done.code == code
    assert said in done.err
    assert "\n" not in done.err.strip()
    assert not list(bundle.rglob("*.engine"))


def test_inspecting_engines_that_are_not_there(genx: Run, bundle: Path) -> None:
    done = genx("inspect", "--engine", str(bundle))
    assert done.code == 2
    assert "has no engine yet; genx build" in done.err
