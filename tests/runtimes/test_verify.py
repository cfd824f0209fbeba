from __future__ import annotations

import io
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtimes.conftest import DATA, replace_file

from genx_runtimes.backends import open_session
from genx_runtimes.batches import choose_batches, find_bounds
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError, IntegrityError, VerificationError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import Array, Closing, Session
from genx_runtimes.verify import measure_error, measure_range, repeat_golden, verify_bundle

GRAPH = "graphs/fp32/generator.onnx"


def test_every_output_of_every_component_is_checked(any_bundle: Path) -> None:
    report = verify_bundle(open_bundle(any_bundle))
    report.require()
    assert report.passed
    assert report.latents_equal
    assert report.max_error < 1e-6
    assert report.batches == (1, 3, 8)
    manifest = open_bundle(any_bundle).manifest
    assert [(c.component, c.output) for c in report.checks] == [
        (c.name, o.name) for c in manifest.components for o in c.outputs
    ]


class Engine(Closing):
    """A session in the place of a compiled engine, which takes fewer batches than its bundle."""

    def __init__(self, session: Session, bounds: BatchBounds) -> None:
        self._session = session
        self.bounds = bounds
        self.inputs, self.outputs = session.inputs, session.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        batch = len(next(iter(feeds.values())))
        assert self.bounds.min <= batch <= self.bounds.max
        return self._session.run(feeds)

    def close(self) -> None:
        self._session.close()


@pytest.fixture(params=[(1, 1), (3, 3), (4, 4), (3, 5), (5, 16), (8, 8), (11, 12)])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BatchBounds:
    """Let every engine take these batches alone."""
    least, most = request.param
    bounds = BatchBounds(min=least, max=most)

    def open_engine(*args: Any, **options: Any) -> Engine:
        return Engine(open_session(*args, **options), bounds)

    monkeypatch.setattr("genx_runtimes.bundle.open_session", open_engine)
    return bounds


def test_an_engine_that_takes_few_batch_sizes_is_verified(
    any_bundle: Path, bounds: BatchBounds
) -> None:
    report = verify_bundle(open_bundle(any_bundle))
    report.require()
    assert min(report.batches) >= bounds.min
    assert max(report.batches) <= bounds.max
    if report.loop is not None and not report.loop.discrete:
        assert max(report.loop.curve) < 1e-4


def test_golden_samples_come_out_whatever_batches_an_engine_takes(
    any_bundle: Path, bounds: BatchBounds
) -> None:
    bundle = open_bundle(any_bundle)
    manifest, golden = bundle.manifest, bundle.golden()
    place = manifest.sampler.component if manifest.sampler.kind == "feedforward" else "loop"
    with bundle.sampler() as sampler:
        made = repeat_golden(bundle, sampler)
    assert len(made) == manifest.golden.count
    np.testing.assert_allclose(made, golden[f"{place}/out/{manifest.output.name}"], atol=1e-3)


def test_engines_without_a_batch_size_in_common_are_told(tiny_bundle: Path) -> None:
    manifest = open_bundle(tiny_bundle).manifest
    with open_bundle(tiny_bundle).sampler() as sampler:
        engines = [Engine(sampler.session, BatchBounds(min=n, max=n)) for n in (1, 4)]
        with pytest.raises(InputError, match="no batch size in common: 1 to 1, 4 to 4"):
            find_bounds(engines, manifest.batch)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("loop/out/image", None, "loop/out/image in golden.npz is missing, expected 8 samples"),
        ("loop/out/image", np.s_[:7], r"loop/out/image in golden.npz has shape \(7, "),
        ("loop/out/image", np.s_[:, 0], "loop/steps/image in golden.npz has shape"),
        ("loop/steps/image", np.s_[:4], "loop/steps/image of the golden samples has 4 steps"),
        ("loop/steps/image", np.s_[:, :0], r"loop/steps/image in golden.npz has shape \(5, 0"),
        ("loop/in/x", None, "golden.npz has no loop/in/x"),
        ("loop/in/label", np.s_[:3], r"loop/in/label in golden.npz is int64 \(3,\), expected .*8"),
        ("denoiser/in/x", np.s_[:, :, 1:], r"denoiser/in/x .* expected float32 \(8, 1, 4, 4\)"),
        ("denoiser/out/prediction", np.s_[:5], "denoiser/out/prediction in golden.npz"),
    ],
)
def test_golden_arrays_that_the_manifest_does_not_speak_of(
    tmp_path: Path, name: str, change: Any, message: str
) -> None:
    path = Path(shutil.copytree(DATA / "tiny_diffusion.genx", tmp_path / "copy.genx"))
    arrays = open_bundle(path).golden()
    array = arrays.pop(name)
    if change is not None:
        arrays[name] = array[change]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    replace_file(path, "golden.npz", buffer.getvalue())
    with pytest.raises(IntegrityError, match=message):
        verify_bundle(open_bundle(path))


@pytest.mark.parametrize(("factor", "passes"), [(1.0 + 1e-6, True), (1.001, False)])
def test_a_changed_weight_is_noticed(bundle_copy: Path, factor: float, passes: bool) -> None:
    data = (bundle_copy / GRAPH).read_bytes()
    golden = open_bundle(bundle_copy).golden()
    assert golden
    weights = np.random.default_rng(7)  # the first tensor that make_tiny_bundle.py drew: embedding
    first = (weights.standard_normal((4, 4), np.float32) / 4).tobytes()
    assert data.count(first) == 1
    changed = (np.frombuffer(first, np.float32) * np.float32(factor)).tobytes()
    replace_file(bundle_copy, GRAPH, data.replace(first, changed))
    report = verify_bundle(open_bundle(bundle_copy))
    assert report.passed is passes
    if not passes:
        with pytest.raises(VerificationError) as caught:
            report.require()
        assert caught.value.message.startswith("generator/image (fp32, onnxruntime) is off by ")
        assert caught.value.message.endswith("of its range, allowed 1e-05")


def test_other_latents_are_noticed(bundle_copy: Path) -> None:
    arrays = open_bundle(bundle_copy).golden()
    arrays["generator/in/z"][3, 2] = np.nextafter(arrays["generator/in/z"][3, 2], np.float32(9))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    replace_file(bundle_copy, "golden.npz", buffer.getvalue())
    report = verify_bundle(open_bundle(bundle_copy))
    assert not report.latents_equal
    assert report.max_error < 1e-5
    assert not report.passed
    with pytest.raises(VerificationError, match="the latents drawn here differ from the golden"):
        report.require()


def test_the_null_backend_does_not_pass(tiny_bundle: Path) -> None:
    report = verify_bundle(open_bundle(tiny_bundle), backend="null")
    assert not report.passed
    assert report.max_error > 0.1


def test_errors_are_relative_to_the_range() -> None:
    expected = np.array([0.0, 4.0])
    assert measure_range(expected, (-1.0, 1.0)) == 2.0
    assert measure_range(expected, None) == 4.0
    assert measure_range(np.full(3, -5.0), None) == 5.0
    assert measure_range(np.zeros(3), None) == 1.0
    assert measure_error(expected, expected, 4.0) == (0.0, math.inf)
    error, psnr = measure_error(expected + np.array([0.0, 0.4]), expected, 4.0)
    assert error == pytest.approx(0.1)
    assert psnr == pytest.approx(-10 * math.log10(0.005))


@pytest.mark.parametrize("wrong", [np.array([0.0, np.nan]), np.array([np.inf, 0]), np.zeros(3)])
def test_what_cannot_be_compared_is_infinitely_wrong(wrong: np.ndarray) -> None:  # type: ignore[type-arg]
    assert measure_error(wrong, np.zeros(2), 1.0) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (1, 64, 8, (1, 3, 8)),
        (1, 1, 8, (1,)),
        (4, 4, 8, (4,)),
        (3, 5, 9, (3, 5)),
        (1, 2, 8, (1, 2)),
        (2, 64, 8, (2, 3, 8)),
    ],
)
def test_batch_sizes(low: int, high: int, count: int, expected: tuple[int, ...]) -> None:
    assert choose_batches(BatchBounds(min=low, max=high), count) == expected
