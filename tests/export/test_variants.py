"""Bundles with more than one variant, from a model and from a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from genx_export import QuantisationRecipe, export, quantize
from genx_export.quantisation.variants import VariantMaker
from genx_runtimes.backends import find_backend
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import InputError, QualityError, VerificationError
from genx_runtimes.tuning import Combination, screen
from genx_runtimes.verify import verify_bundle

TINY = Path(__file__).parent.parent / "data" / "tiny.genx"
FLAGS: dict[str, Any] = {"priors": ["z=normal:8", "label=categorical:4"], "output": "image:-1..1"}
RECIPE = QuantisationRecipe(samples=16, calibration=16)


def fake_measure(faster: Sequence[str]) -> Callable[..., tuple[Combination, ...]]:
    """Return a stand-in for measuring, in which variants of these names take half the time."""

    def measure(bundle: Bundle, variants: Sequence[str], **_: object) -> tuple[Combination, ...]:
        made = [
            Combination(
                backend="onnxruntime", variant=v, threads=1, p50_ms=1.0 if v in faster else 2.0
            )
            for v in variants
        ]
        return tuple(sorted(made, key=lambda c: c.p50_ms or 0))

    return measure


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def choose(*faster: str) -> None:
        monkeypatch.setattr("genx_export.quantisation.extend.measure", fake_measure(faster))

    choose("int8-rewritten")
    return choose


def test_a_bundle_with_three_precisions(models: str, tmp_path: Path, measured: object) -> None:
    path = tmp_path / "x.genx"
    report = export(
        f"{models}:Tiny", path, precision=("fp32", "fp16", "int8"), recipe=RECIPE, **FLAGS
    )
    bundle = open_bundle(path)
    bundle.check_files()
    assert [v.name for v in bundle.manifest.variants] == ["fp32", "fp16", "int8"]
    assert [v.form for v in bundle.manifest.variants] == ["native", "native", "rewritten"]
    assert sorted(p.name for p in (path / "graphs").iterdir()) == ["fp16", "fp32", "int8"]
    for name in ("fp32", "fp16", "int8"):
        for backend in ("onnxruntime", "openvino"):
            verify_bundle(bundle, precision=name, backend=backend).require()
    int8 = bundle.variant("int8")
    assert int8.recipe["samples"] == 16
    assert int8.recipe["estimator"] in ("minmax", "percentile", "mse")
    assert int8.quality["psnr_db"] >= 35
    assert int8.min_psnr_db is not None
    assert [v.name for v in report.variants] == ["fp32", "fp16", "int8"]
    assert any("int8-native: 2.00 x" in line for line in report.dropped)


def test_int8_that_is_broken_does_not_verify(models: str, tmp_path: Path, measured: object) -> None:
    path = tmp_path / "x.genx"
    export(f"{models}:Tiny", path, precision=("int8",), recipe=RECIPE, **FLAGS)
    bundle = open_bundle(path)
    report = verify_bundle(bundle)
    assert report.passed
    golden = bundle.golden()
    image = golden["generator/out/image"]
    golden["generator/out/image"] = np.roll(image, 1, axis=-1)
    bundle.golden = lambda: golden  # type: ignore[method-assign]
    broken = verify_bundle(bundle)
    assert not broken.passed
    with pytest.raises(VerificationError):
        broken.require()


@pytest.mark.parametrize(
    ("faster", "names", "forms"),
    [
        ((), ["fp32", "int8"], ["native", "native"]),
        (
            ("fp32-rewritten",),
            ["fp32", "fp32-rewritten", "int8"],
            ["native", "rewritten", "native"],
        ),
        (("int8-rewritten",), ["fp32", "int8"], ["native", "rewritten"]),
    ],
)
def test_the_faster_form_stays(
    tmp_path: Path,
    native: Path,
    measured: Callable[..., None],
    faster: tuple[str, ...],
    names: list[str],
    forms: list[str],
) -> None:
    measured(*faster)
    quantize(native, tmp_path / "q.genx", recipe=RECIPE)
    variants = open_bundle(tmp_path / "q.genx").manifest.variants
    assert [v.name for v in variants] == names
    assert [v.form for v in variants] == forms


def test_a_form_beyond_the_tolerance_is_left_out(
    tmp_path: Path, native: Path, measured: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = VariantMaker._compare_golden

    def compare(self: VariantMaker, spec: Any, model: bytes) -> Any:
        checks = original(self, spec, model)
        kinds = {node.op_type for node in onnx.load_from_string(model).graph.node}
        rewritten = not kinds & {"ConvTranspose", "QuantizeLinear"}
        return [replace(c, max_error=0.1) for c in checks] if rewritten else checks

    monkeypatch.setattr(VariantMaker, "_compare_golden", compare)
    measured("fp32-rewritten")
    report = quantize(native, tmp_path / "q.genx", recipe=RECIPE)
    bundle = open_bundle(tmp_path / "q.genx")
    assert [v.name for v in bundle.manifest.variants] == ["fp32", "int8"]
    assert not (tmp_path / "q.genx" / "graphs" / "fp32-rewritten").exists()
    assert any(
        "fp32-rewritten: fp32 in form rewritten is off by 0.1" in d for d in report.extended.dropped
    )
    with pytest.raises(QualityError, match=r"off by 0\.1 of the range"):
        quantize(native, tmp_path / "r.genx", form="rewritten", recipe=RECIPE)


def test_forms_that_are_asked_for_are_taken(tmp_path: Path, native: Path, measured: object) -> None:
    quantize(native, tmp_path / "q.genx", form="rewritten", recipe=RECIPE)
    bundle = open_bundle(tmp_path / "q.genx")
    assert {v.form for v in bundle.manifest.variants} == {"rewritten"}
    verify_bundle(bundle, precision="fp32").require()
    with pytest.raises(InputError, match="no native fp32 variant"):
        quantize(tmp_path / "q.genx", recipe=RECIPE)


def test_a_bundle_is_quantised_in_place_or_not_at_all(tmp_path: Path, measured: object) -> None:
    path = tmp_path / "t.genx"
    shutil.copytree(TINY, path)
    before = open_bundle(path).digest
    with pytest.raises(QualityError, match="the floor is 200 dB"):
        quantize(path, recipe=QuantisationRecipe(samples=16, calibration=16, min_psnr_db=200))
    with pytest.raises(InputError, match="unknown precision 'int9'"):
        quantize(path, precision=("int9",))
    with pytest.raises(InputError, match="expected each once"):
        quantize(path, precision=("int8", "int8"))
    assert open_bundle(path).digest == before
    report = quantize(path, recipe=RECIPE)
    assert report.path == path
    bundle = open_bundle(path)
    assert [v.name for v in bundle.manifest.variants] == ["fp32", "int8"]
    again = open_bundle(TINY)
    np.testing.assert_array_equal(
        bundle.golden()["generator/out/image"], again.golden()["generator/out/image"]
    )


def test_a_vae_is_quantised_whole(tmp_path: Path, measured: object) -> None:
    source = TINY.with_name("tiny_vae.genx")
    quantize(source, tmp_path / "v.genx", recipe=RECIPE)
    bundle = open_bundle(tmp_path / "v.genx")
    sizes = {
        v.name: {c: ref.bytes for c, ref in v.graphs.items()} for v in bundle.manifest.variants
    }
    assert set(sizes["int8"]) == {"encoder", "decoder"}
    verify_bundle(bundle, precision="int8").require()


@pytest.mark.parametrize("name", ["tiny", "tiny_diffusion"])
def test_measured_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(screen, "_ROUNDS", 1)
    monkeypatch.setattr(screen, "list_engines", lambda: [find_backend("onnxruntime")])
    source = TINY.with_name(f"{name}.genx")
    report = quantize(source, tmp_path / "q.genx", form="native", recipe=RECIPE)
    for variant in report.extended.variants:
        assert sorted(variant.fastest) == [1, 8]
        assert 0 < variant.latency_ms(1) < 1000
