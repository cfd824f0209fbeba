"""Lower precision, as a user meets it."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import DATA, Run

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.tuning import Combination, Request, Tuning
from genx_runtimes.tuning.engines import describe_machine

FEW = ("--samples", "16", "--calibration", "16")


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take made-up latencies: int8 is fast in openvino, all else alike."""

    def measure(bundle: Bundle, variants: Sequence[str], **_: object) -> tuple[Combination, ...]:
        made = [
            Combination(
                backend=backend,
                variant=name,
                threads=1,
                p50_ms=0.5 if (backend, name[:4]) == ("openvino", "int8") else 1.0,
            )
            for backend in ("onnxruntime", "openvino")
            for name in variants
        ]
        return tuple(sorted(made, key=lambda c: c.p50_ms or 0))

    def search(bundle: Bundle, request: Request, **_: object) -> Tuning:
        return Tuning(
            digest=bundle.digest,
            goal=request.goal,
            batches=request.batches,
            machine=describe_machine(),
            combinations=measure(bundle, ["fp32"]),
        )

    monkeypatch.setattr("genx_export.quantisation.extend.measure", measure)
    monkeypatch.setattr("genx_runtimes.tuning.store.search", search)


@pytest.fixture
def int8(genx: Run, tmp_path: Path) -> Path:
    path = tmp_path / "q.genx"
    assert genx("quantize", DATA / "tiny.genx", "-o", path, *FEW).code == 0
    return path


def test_quantize_in_place_and_what_it_says(genx: Run, tmp_path: Path) -> None:
    shutil.copytree(DATA / "tiny.genx", tmp_path / "t.genx")
    done = genx("quantize", "t.genx", *FEW, "--explain")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("wrote t.genx: 0.")
    assert lines[1].split()[:4] == ["variant", "form", "MB", "PSNR"]
    assert [line.split()[0] for line in lines[2:4]] == ["fp32", "int8"]
    assert lines[3].split()[-1] == "openvino"
    for line in lines[-2:]:
        following = shlex.split(line.removeprefix("next:"), comments=True)
        assert genx(*following[1:]).code == 0
    again = genx("quantize", "t.genx", *FEW, "--json")
    variants = json.loads(again.out)["variants"]
    assert [v["name"] for v in variants] == ["fp32", "int8"]
    assert variants[1]["quality"]["psnr_db"] > 35


def test_a_slower_variant_is_called_so(
    genx: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(bundle: Bundle, variants: Sequence[str], **_: object) -> tuple[Combination, ...]:
        return tuple(
            Combination(
                backend="onnxruntime",
                variant=name,
                threads=1,
                p50_ms=1.0 if name.startswith("fp32") else 3.0,
            )
            for name in variants
        )

    monkeypatch.setattr("genx_export.quantisation.extend.measure", measure)
    done = genx("quantize", DATA / "tiny.genx", "-o", "q.genx", *FEW)
    assert done.code == 0
    assert "warning: int8 is slower than fp32 here, up to 3.00 x; it is " in done.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--precision", "int9"), "unknown precision 'int9'; a list of fp32, fp16, int8"),
        (("--form", "square"), "unknown form 'square'"),
        (("--target", "tpu"), "unknown target 'tpu'"),
        (("--samples", "1"), "samples is 1, expected 8 or more"),
    ],
)
def test_wrong_arguments(genx: Run, arguments: tuple[str, ...], error: str) -> None:
    done = genx("quantize", DATA / "tiny.genx", "-o", "q.genx", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {error}")
    assert not Path("q.genx").exists()


def test_a_floor_out_of_reach(genx: Run) -> None:
    done = genx("quantize", DATA / "tiny.genx", "-o", "q.genx", *FEW, "--min-psnr", 300)
    assert done.code == 1
    assert "the floor is 300 dB" in done.err
    assert not Path("q.genx").exists()


def test_export_with_precisions(genx: Run, models: Path) -> None:
    options = ("--prior", "z=normal:62", "--output", "image:0..1", "--precision", "fp32,int8")
    done = genx("export", f"{models}:LinearGenerator", *options, *FEW, "-o", "l.genx", "--explain")
    assert done.code == 0
    assert "RewriteConvTranspose fired: 3 x 3 taps a phase on the small grid" in done.out
    assert [v.name for v in open_bundle("l.genx").manifest.variants] == ["fp32", "int8"]
    assert genx("verify", "l.genx", "--precision", "int8", "--backend", "openvino").code == 0


def test_verify_draws_the_variants_side_by_side(genx: Run, int8: Path) -> None:
    done = genx("verify", int8, "--precision", "int8", "--picture", "compare.png")
    assert done.code == 0
    assert "row 3: 8 x |int8 - fp32|, " in done.out
    assert Path("compare.png").read_bytes()[1:4] == b"PNG"
    again = genx("verify", int8, "--picture", "compare.png")
    assert (again.code, again.err.strip()) == (
        2,
        "error: compare.png exists already; --force replaces it",
    )
    assert genx("verify", int8, "--picture", "compare.jpg").code == 2
    Path("folder.png").mkdir()
    assert "folder.png is a folder" in genx("verify", int8, "--picture", "folder.png").err


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["photos"], "--images 'photos': expected INPUT=FOLDER"),
        (["z=a", "z=b"], "--images 'z=b': expected INPUT=FOLDER, each input once"),
        (["image=photos"], "the model has no input 'image'"),
        (["z=photos"], "input 'z' has shape (8,), an image has"),
    ],
)
def test_images_that_cannot_be_used(genx: Run, images: list[str], said: str) -> None:
    flags = [flag for text in images for flag in ("--images", text)]
    done = genx("quantize", DATA / "tiny.genx", "-o", "q.genx", *FEW, *flags)
    assert done.code == 2
    assert said in done.err
    assert not Path("q.genx").exists()
