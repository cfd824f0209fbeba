from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtimes.conftest import read_files, write_zip

from genx_runtimes.errors import BundleError, IntegrityError, ManifestError, UnsafeBundleError
from genx_runtimes.manifest import FileRef
from genx_runtimes.storage import (
    check_path,
    open_storage,
    read_arrays,
    read_checked,
    read_manifest_bytes,
)

UNSAFE = ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "", "a\\b", "C:/x", "a/", "a\0b"]


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths_are_refused(path: str) -> None:
    with pytest.raises(UnsafeBundleError, match="is not a plain path inside it"):
        check_path(path)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_\-]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_plain_paths_pass(parts: list[str]) -> None:
    path = "/".join(parts)
    assert check_path(path) == path


@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_both_kinds_give_the_same_bytes(tiny_bundle: Path, tiny_zip: Path, kind: str) -> None:
    storage = open_storage(tiny_bundle if kind == "directory" else tiny_zip)
    for name, data in read_files(tiny_bundle).items():
        assert storage.read(name, limit=len(data)) == data
        assert len(storage.read(name, limit=3)) == 4
    with pytest.raises(FileNotFoundError):
        storage.read("nowhere", limit=1)
    with pytest.raises(UnsafeBundleError):
        storage.read("../x", limit=1)


def test_links_out_of_the_directory_are_refused(bundle_copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (bundle_copy / "link").symlink_to(secret)
    (bundle_copy / "folder").symlink_to(tmp_path)
    storage = open_storage(bundle_copy)
    for path in ("link", "folder/secret"):
        with pytest.raises(UnsafeBundleError, match=r"is a link to .*secret, outside of it"):
            storage.read(path, limit=100)


def test_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"there is no bundle at .*x.genx; make one with: "):
        open_storage(tmp_path / "x.genx")
    with pytest.raises(ManifestError, match=r"there is no manifest.json: this is not a genx"):
        read_manifest_bytes(open_storage(tmp_path))


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    with pytest.raises(BundleError, match=r"x.png is no bundle: it is neither a folder nor a zip"):
        open_storage(tmp_path / "x.png")


def test_a_manifest_may_not_be_huge(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(ManifestError, match="is larger than 4194304 bytes"):
        read_manifest_bytes(open_storage(tmp_path))


def _refused(path: Path) -> str:
    with pytest.raises((UnsafeBundleError, IntegrityError)) as caught:
        open_storage(path).read("manifest.json", limit=10**6)
    return str(caught.value)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.genx"
    write_zip(path, {"manifest.json": b"0" * 10**7}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert "'manifest.json' in" in _refused(path)
    assert "is compressed (a bundle's members are stored)" in _refused(path)


def test_a_zip_that_hides_its_method_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.genx"
    write_zip(path, {"manifest.json": b"0" * 10**6}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    central = data.rfind(b"PK\x01\x02")
    data[central + 10 : central + 12] = b"\0\0"  # the directory says "stored"
    path.write_bytes(data)
    assert "is compressed" in _refused(path)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "quoted.genx"
    write_zip(path, {"manifest.json": b"0" * 4000})
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        for i in range(3):  # more names for the same bytes
            copy = zipfile.ZipInfo(f"copy{i}")
            for field in ("CRC", "file_size", "compress_size", "header_offset"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
        archive._didModify = True  # type: ignore[attr-defined]
    assert "claims more bytes than it has: its members overlap" in _refused(path)


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.genx"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("manifest.json")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    assert "is a link or a special file" in _refused(path)


def test_repeated_encrypted_and_unsafe_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.genx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", b"a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("manifest.json", b"b")
    assert "occurs twice" in _refused(path)
    write_zip(path, {"manifest.json": b"a"})
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in _refused(path)
    write_zip(path, {"../evil": b"a"})
    assert "'../evil'" in _refused(path)


def test_truncated_and_altered_zips_are_noticed(tiny_zip: Path) -> None:
    whole = tiny_zip.read_bytes()
    for size in range(1, len(whole), 97):
        tiny_zip.write_bytes(whole[:size])
        assert "truncated" in _refused(tiny_zip)
        assert "; copy it again from where it was made" in _refused(tiny_zip)
    place = whole.index(b"genx-bundle")
    tiny_zip.write_bytes(whole[:place] + b"G" + whole[place + 1 :])
    assert "manifest.json in" in _refused(tiny_zip)
    assert "is damaged: Bad CRC-32" in _refused(tiny_zip)


def test_checked_reading_names_the_file_and_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    storage = open_storage(tmp_path)
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert read_checked(storage, FileRef(path="f", bytes=5, sha256=digest)) == b"hello"
    cases = [
        (FileRef(path="g", bytes=5, sha256=digest), "g is missing from the bundle; copy"),
        (FileRef(path="f", bytes=6, sha256=digest), "f has 5 bytes, expected 6; copy"),
        (FileRef(path="f", bytes=4, sha256=digest), "f has more than 4 bytes, expected 4"),
        (FileRef(path="f", bytes=5, sha256="0" * 64), "f was altered: sha256 is 2cf24dba5fb0..."),
    ]
    for ref, message in cases:
        with pytest.raises(IntegrityError) as caught:
            read_checked(storage, ref)
        assert message in str(caught.value)


def test_arrays() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(3))
    assert read_arrays(buffer.getvalue(), "golden.npz")["x"].tolist() == [0, 1, 2]


def test_compressed_pickled_and_damaged_arrays_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros(10**5))
    with pytest.raises(UnsafeBundleError, match=r"'x.npy' in golden.npz is compressed"):
        read_arrays(buffer.getvalue(), "golden.npz")
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([object()]))
    with pytest.raises(UnsafeBundleError, match=r"golden.npz cannot be read without unpickling"):
        read_arrays(buffer.getvalue(), "golden.npz")
    with pytest.raises(IntegrityError, match=r"golden.npz is not a zip file"):
        read_arrays(b"nothing", "golden.npz")
