"""Bundles to be packaged, and a cache in which nothing was measured."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genx_runtimes.bundle import Bundle, open_bundle

DATA = Path(__file__).parents[1] / "data"

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tiny() -> Bundle:
    """Z (8,), label of 4 -> image (1, 8, 8); batches of 1 to 16."""
    return open_bundle(DATA / "tiny.genx")


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(DATA / "tiny.genx", tmp_path / "copy.genx"))


def edit(bundle: Path, change: Change) -> None:
    """Change a bundle's manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def add_variant(bundle: Path, name: str, graph: bytes) -> None:
    """Add a variant, or replace the one of that name; it has one graph, `generator`."""

    def change(manifest: dict[str, Any]) -> None:
        path = f"graphs/{name}/generator.onnx"
        (bundle / path).parent.mkdir(exist_ok=True)
        (bundle / path).write_bytes(graph)
        digest = hashlib.sha256(graph).hexdigest()
        ref = {"path": path, "bytes": len(graph), "sha256": digest}
        kept = [v for v in manifest["variants"] if v["name"] != name]
        first = {**manifest["variants"][0], "name": name, "graphs": {"generator": ref}}
        manifest["variants"] = [*kept, first]

    edit(bundle, change)
