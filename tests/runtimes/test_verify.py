from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from tests.runtimes.conftest import replace_file

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import VerificationError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.verify import choose_batches, measure_error, measure_range, verify_bundle

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
