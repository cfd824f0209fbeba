from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.conftest import replace_file

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError, IntegrityError, UnsafeBundleError

Edit = Callable[[Callable[[dict[str, Any]], None]], Path]
GRAPH = "graphs/fp32/generator.onnx"


def test_directory_and_zip_are_the_same_bundle(tiny_bundle: Path, tiny_zip: Path) -> None:
    folder, single = open_bundle(tiny_bundle), open_bundle(str(tiny_zip))
    assert folder.digest == single.digest
    assert folder.digest == hashlib.sha256((tiny_bundle / "manifest.json").read_bytes()).hexdigest()
    assert folder.read_graph("generator") == single.read_graph("generator")
    single.check_files()


def test_the_first_variant_is_the_default(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert bundle.variant() is bundle.variant("fp32")
    with pytest.raises(InputError, match="the bundle has no precision 'int8'; there is: fp32"):
        bundle.variant("int8")
    with pytest.raises(InputError, match="unknown component 'encoder'; there is: generator"):
        bundle.session("encoder")


@pytest.mark.parametrize("name", [GRAPH, "golden.npz"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: None, "is missing from the bundle"),
        (lambda data: data[:-1], "bytes, expected"),
        (lambda data: data + b"\0", "has more than"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "was altered: sha256 is"),
    ],
    ids=["missing", "truncated", "longer", "one bit"],
)
def test_damaged_files_are_named(
    bundle_copy: Path, name: str, damage: Callable[[bytes], bytes | None], message: str
) -> None:
    path = bundle_copy / name
    data = damage(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        open_bundle(bundle_copy).check_files()
    assert caught.value.message.startswith(f"{name} ")
    assert message in caught.value.message
    assert caught.value.fix.startswith("copy the bundle again")


@pytest.mark.parametrize("path", ["../graph.onnx", "/etc/passwd", "graphs\\g.onnx"])
def test_paths_of_the_manifest_stay_inside(edit_manifest: Edit, path: str) -> None:
    bundle = edit_manifest(
        lambda m: m["variants"][0]["graphs"]["generator"].__setitem__("path", path)
    )
    with pytest.raises(UnsafeBundleError, match="is not a plain path inside it; do not use"):
        open_bundle(bundle).sampler()


def test_golden_must_be_complete(bundle_copy: Path, codes_bundle: Path) -> None:
    replace_file(bundle_copy, "golden.npz", (codes_bundle / "golden.npz").read_bytes())
    with pytest.raises(IntegrityError, match=r"golden.npz has no generator/in/z"):
        open_bundle(bundle_copy).golden()
