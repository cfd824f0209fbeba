"""`genx verify` and `genx inspect`, and bundles that are damaged or dangerous."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import DATA, Run

GRAPH = "graphs/fp32/generator.onnx"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy.genx"))


def test_verify(genx: Run) -> None:
    done = genx("verify", DATA / "tiny_vae.genx")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "tiny_vae fp32 on onnxruntime: 8 golden samples at batch 1, 3, 8"
    assert [line.split()[0] for line in lines[2:5]] == [
        "decoder/image",
        "encoder/mean",
        "encoder/log_variance",
    ]
    assert lines[5] == "  latents equal bit for bit"
    assert lines[6] == "passed: every output is within 1e-05 of its range"
    report = json.loads(genx("verify", DATA / "tiny.genx", "--json").out)
    assert report["passed"] is True
    assert report["latents_equal"] is True
    assert genx("verify", DATA / "tiny.genx", "-q").out == ""


def test_a_failed_verification_is_exit_code_3(genx: Run, tiny: Path) -> None:
    done = genx("verify", tiny, "--backend", "null")
    assert done.code == 3
    assert done.err.startswith("error: generator/image (fp32, null) is off by ")
    assert "next:" not in done.out
    assert json.loads(genx("verify", tiny, "--backend", "null", "--json").out)["error"]["type"] == (
        "VerificationError"
    )


def test_inspect(genx: Run, tiny: Path) -> None:
    done = genx("inspect", tiny)
    assert (done.code, done.err) == (0, "")
    for line in (
        "tiny  (generator, format 1)",
        "  z: 8 standard normal values",
        "  label: one of 4 classes (circle, square, star, wave)",
        "  image: image, values -1 to 1",
        "  generator: z float32(batch, 8), label int64(batch) -> image float32(batch, 1, 8, 8)",
    ):
        assert line in done.out.splitlines()
    out = genx("inspect", DATA / "tiny_codes.genx").out
    assert "  style: 2 uniform values in -1 to 1" in out.splitlines()
    assert "  output: tensor" in out.splitlines()
    report = json.loads(genx("inspect", tiny, "--json").out)
    assert report["manifest"]["name"] == "tiny"
    assert len(report["digest"]) == 64


@pytest.mark.parametrize("command", ["verify", "inspect"])
@pytest.mark.parametrize("name", [GRAPH, "golden.npz"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-5], "bytes, expected "),
        (lambda data: data[:50] + bytes([data[50] ^ 4]) + data[51:], "was altered: sha256 is "),
        (lambda data: None, "is missing from the bundle"),
    ],
    ids=["truncated", "bit flipped", "missing"],
)
def test_damaged_files(
    genx: Run,
    copy: Path,
    command: str,
    name: str,
    damage: Callable[[bytes], bytes | None],
    message: str,
) -> None:
    data = damage((copy / name).read_bytes())
    (copy / name).unlink() if data is None else (copy / name).write_bytes(data)
    done = genx(command, copy)
    assert done.code == 1
    assert done.err.startswith(f"error: {name} ")
    assert message in done.err
    assert done.err.endswith("; copy the bundle again from where it was made, or export it again\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version": 1', '"format_version": 9', "has format version 9, this genx reads up"),
        (GRAPH, "../../etc/passwd", "'../../etc/passwd', which is not a plain path inside it"),
        (GRAPH, "/etc/passwd", "'/etc/passwd', which is not a plain path inside it"),
        ('"format"', '"farmat"', "manifest.json is not a genx manifest"),
    ],
)
def test_manifests(genx: Run, copy: Path, old: str, new: str, message: str) -> None:
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace(old, new))
    done = genx("sample", copy, "-o", "x.png")
    assert done.code == 1
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("x.png").exists()


def test_a_bomb_and_a_link(genx: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile("bomb.genx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"0" * 10**7)
    done = genx("inspect", "bomb.genx")
    assert done.err == (
        "error: 'manifest.json' in bomb.genx is compressed (a bundle's members are stored)\n"
    )
    with zipfile.ZipFile("link.genx", "w") as archive:
        member = zipfile.ZipInfo("manifest.json")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    assert "is a link or a special file" in genx("inspect", "link.genx").err


def test_there_is_nothing(genx: Run, tmp_path: Path) -> None:
    done = genx("verify", "nowhere.genx")
    assert done.code == 1
    assert done.err == (
        "error: there is no bundle at nowhere.genx; "
        "make one with: genx export SOURCE -o NAME.genx\n"
    )
    (tmp_path / "empty").mkdir()
    assert "there is no manifest.json: this is not a genx bundle" in genx("verify", "empty").err
