"""Bundles made elsewhere: see tests/make_tiny_bundle.py. Nothing here needs torch or onnx."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
from tests.runtimes.fake_onnxruntime import Start, install
from tests.runtimes.tuning_machine import TuningMachine, make_machine

DATA = Path(__file__).parents[1] / "data"
NAMES = ("tiny", "tiny_vae", "tiny_codes", "tiny_recurrent", "tiny_tokens", "tiny_diffusion")


@pytest.fixture(params=NAMES)
def any_bundle(request: pytest.FixtureRequest) -> Path:
    """Each of the tiny bundles, not to be changed."""
    return DATA / f"{request.param}.genx"


@pytest.fixture
def tiny_bundle() -> Path:
    """Z (8,), label of 4 -> image (1, 8, 8) in -1..1; not to be changed."""
    return DATA / "tiny.genx"


@pytest.fixture
def codes_bundle() -> Path:
    """Category (one-hot of 3), style (2,) in -1..1 -> output (5,); not to be changed."""
    return DATA / "tiny_codes.genx"


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle, to be damaged."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.genx"))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Put a stand-in in the place of onnxruntime, on a machine with the given providers."""
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "cache"))
    # Set first, so that what the code sets is taken back at the end.
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    return partial(install, monkeypatch)


@pytest.fixture
def tiny_zip(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle as one file."""
    path = tmp_path / "tiny_zip.genx"
    write_zip(path, read_files(tiny_bundle))
    return path


@pytest.fixture
def edit_manifest(bundle_copy: Path) -> Callable[[Callable[[dict[str, object]], None]], Path]:
    """Change the copy's manifest.json in place; returns the bundle's path."""

    def edit(change: Callable[[dict[str, object]], None]) -> Path:
        path = bundle_copy / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))
        return bundle_copy

    return edit


def read_files(bundle: Path) -> dict[str, bytes]:
    """Return a bundle directory's files by relative path."""
    return {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    }


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    """Write files as a zip archive."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Change a file of a bundle directory and its size and hash in the manifest."""
    old = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    size = (bundle / name).stat().st_size
    (bundle / name).write_bytes(data)
    manifest = (bundle / "manifest.json").read_text()
    manifest = manifest.replace(old, hashlib.sha256(data).hexdigest())
    manifest = manifest.replace(f'"bytes": {size}', f'"bytes": {len(data)}')
    (bundle / "manifest.json").write_text(manifest)


@pytest.fixture
def write_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a module that a worker process can run; returns its name."""
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.fixture
def tuning_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TuningMachine:
    """A machine that answers as a test says, and no cache of the user's."""
    return make_machine(monkeypatch, tmp_path / "cache")
