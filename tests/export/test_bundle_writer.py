from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from genx_export.bundle_writer import check_target, pack_arrays, refer, write_bundle
from genx_runtimes.errors import ExportError, InputError, OutputError
from genx_runtimes.manifest import (
    BatchBounds,
    ComponentSpec,
    GoldenSpec,
    Manifest,
    NormalPrior,
    OutputSpec,
    TensorSpec,
    VariantSpec,
    decode_manifest,
)
from genx_runtimes.sampling_specs import FeedforwardSpec
from genx_runtimes.storage import open_storage, read_arrays, read_manifest_bytes

FILES = {"graphs/fp32/g.onnx": b"graph", "golden.npz": b"golden"}
Z = TensorSpec(name="z", dtype="float32", shape=("batch", 4), role="prior")
MANIFEST = Manifest(
    format="genx-bundle",
    format_version=1,
    name="m",
    description="",
    family="generator",
    components=(
        ComponentSpec(
            name="g",
            inputs=(Z,),
            outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 4), role="output"),),
        ),
    ),
    batch=BatchBounds(min=1, max=4),
    priors=(NormalPrior(name="z", shape=(4,)),),
    output=OutputSpec(name="y", kind="tensor"),
    sampler=FeedforwardSpec(component="g"),
    variants=(
        VariantSpec(
            name="fp32",
            precision="fp32",
            graphs={"g": refer("graphs/fp32/g.onnx", b"graph")},
            tolerance=1e-5,
            quality={},
        ),
    ),
    golden=GoldenSpec(file=refer("golden.npz", b"golden"), seed=0, count=8, reference="x"),
    made_by={},
)


@pytest.mark.parametrize("as_zip", [False, True])
def test_what_is_written_can_be_read(tmp_path: Path, as_zip: bool) -> None:
    path = tmp_path / "m.genx"
    size = write_bundle(path, MANIFEST, FILES, as_zip=as_zip)
    assert path.is_dir() != as_zip
    storage = open_storage(path)
    data = read_manifest_bytes(storage)
    assert decode_manifest(data) == MANIFEST
    assert storage.read("graphs/fp32/g.onnx", limit=100) == b"graph"
    assert size == len(data) + len(b"graph") + len(b"golden")
    assert [p.name for p in tmp_path.iterdir()] == ["m.genx"]


def test_the_same_bundle_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bundle(tmp_path / name, MANIFEST, FILES, as_zip=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    array = {"x": np.arange(3, dtype=np.float32)}
    assert pack_arrays(array) == pack_arrays(array)
    assert read_arrays(pack_arrays(array), "x")["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_the_old_bundle_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_zip: bool, error: BaseException
) -> None:
    path = tmp_path / "m.genx"
    write_bundle(path, MANIFEST, FILES, as_zip=as_zip)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    monkeypatch.setattr(Path, "write_bytes", fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        write_bundle(path, MANIFEST, {**FILES, "golden.npz": b"other!"}, as_zip=as_zip)
    if isinstance(caught.value, OutputError):
        assert str(caught.value).startswith(f"the disk is full: {path} was not written")
    assert [p.name for p in tmp_path.iterdir()] == ["m.genx"]
    assert open_storage(path).read("golden.npz", limit=100) == b"golden"


def test_a_failed_rename_puts_the_old_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.genx"
    write_bundle(path, MANIFEST, FILES)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        write_bundle(path, MANIFEST, FILES)
    assert [p.name for p in tmp_path.iterdir()] == ["m.genx"]


def test_targets_are_checked_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "m.genx"
    check_target(path, force=False)
    assert list(tmp_path.iterdir()) == []
    write_bundle(path, MANIFEST, FILES)
    with pytest.raises(InputError, match=r"exists already; --force replaces it"):
        check_target(path, force=False)
    check_target(path, force=True)
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere; mkdir -p"):
        check_target(tmp_path / "nowhere" / "m.genx", force=False)
    with pytest.raises(OutputError, match="Not a directory"):
        check_target(path / "manifest.json" / "m.genx", force=False)


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    for path in (photos, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="is no bundle; it is left alone"):
            check_target(path, force=True)


def test_a_manifest_that_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    words = tuple(f"token {i}" for i in range(250_000))
    text = structs.replace(MANIFEST, output=OutputSpec(name="y", kind="text", vocabulary=words))
    with pytest.raises(
        ExportError, match=r"manifest\.json would have .* up to 4,194,304; .*250,000"
    ):
        write_bundle(tmp_path / "m.genx", text, FILES)
    assert list(tmp_path.iterdir()) == []
