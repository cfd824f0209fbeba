"""What is fastest, measured once and remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genx_runtimes import tuning
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import BackendUnavailableError, InputError, OutputError
from genx_runtimes.tuning import Combination, recall, tune


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "cache"))


def combination(backend: str, p50_ms: float | None, threads: int = 2) -> Combination:
    failure = "" if p50_ms is not None else "crashed"
    return Combination(
        backend=backend, variant="fp32", threads=threads, p50_ms=p50_ms, failure=failure
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace measuring; each call is noted with its batch size."""
    made: list[int] = []

    def measure(bundle: Bundle, variants: object, *, batch: int, **_: object) -> object:
        made.append(batch)
        return (combination("onnxruntime", 1.0), combination("openvino", 3.0))

    monkeypatch.setattr(tuning, "measure", measure)
    return made


def test_measured_once_for_each_batch_size(tiny_bundle: Path, calls: list[int]) -> None:
    bundle = open_bundle(tiny_bundle)
    first = tune(bundle, batch=1)
    assert tune(bundle, batch=1) == first
    tune(bundle, batch=4)
    assert calls == [1, 4]
    tune(bundle, batch=1, again=True)
    tune(bundle, batch=1, threads=1)
    assert calls == [1, 4, 1, 1]
    assert tune(bundle, batch=1) == first
    assert first.explain() == (
        "onnxruntime fp32 with 2 threads, 1.000 ms at batch 1: 3.00 x as fast as openvino fp32"
    )


def test_another_machine_measures_anew(
    tiny_bundle: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(tiny_bundle)
    tune(bundle, batch=1)
    monkeypatch.setattr(tuning, "read_cpu_model", lambda: "another CPU")
    tune(bundle, batch=1)
    assert calls == [1, 1]


def test_what_was_measured_is_recalled_and_nothing_is_measured(
    tiny_bundle: Path, codes_bundle: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(tiny_bundle)
    assert recall(bundle) == ()
    made = [tune(bundle, batch=batch) for batch in (16, 4)]
    tune(bundle, batch=2, threads=1)  # not the fastest of all
    tune(open_bundle(codes_bundle), batch=1)
    assert recall(bundle) == (made[1], made[0])
    monkeypatch.setattr(tuning, "measure", lambda *_, **__: (combination("onnxruntime", None),))
    tune(bundle, batch=1)
    assert recall(bundle) == (made[1], made[0])
    monkeypatch.setattr(tuning, "read_cpu_model", lambda: "another CPU")
    assert recall(bundle) == ()
    assert calls == [16, 4, 2, 1]


def test_nothing_is_recalled_from_a_cache_that_cannot_be(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "file"))
    assert recall(open_bundle(tiny_bundle)) == ()


def test_damaged_memory_is_made_again(tiny_bundle: Path, calls: list[int], tmp_path: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    tune(bundle, batch=1)
    (path,) = (tmp_path / "cache" / "tuning").iterdir()
    path.write_text("no JSON")
    assert tune(bundle, batch=1).best.backend == "onnxruntime"
    assert calls == [1, 1]


def test_a_cache_that_cannot_be_written(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="tuning"):
        tune(open_bundle(tiny_bundle), batch=1)


def test_nothing_runs(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "measure", lambda *_, **__: (combination("onnxruntime", None),))
    made = tune(open_bundle(tiny_bundle), batch=1)
    with pytest.raises(BackendUnavailableError, match="onnxruntime: crashed"):
        _ = made.best


def test_auto_runs_what_was_fastest(tiny_bundle: Path, calls: list[int]) -> None:
    bundle = open_bundle(tiny_bundle)
    with bundle.sampler(backend="auto", batch=4) as sampler:
        (batch,) = sampler.sample(2)
    with bundle.sampler() as plain:
        (expected,) = plain.sample(2)
    np.testing.assert_array_equal(batch.output, expected.output)
    assert calls == [4]
    with pytest.raises(InputError, match="no precision 'int8'"):
        bundle.session("generator", backend="auto", precision="int8")


def test_measured_for_real(tiny_bundle: Path) -> None:
    steps: list[str] = []
    made = tune(open_bundle(tiny_bundle), batch=2, progress=steps.append)
    assert made.best.variant == "fp32"
    assert made.best.p50_ms is not None
    assert all(c.p50_ms is None or c.p50_ms >= made.best.p50_ms for c in made.combinations)
    assert any("onnxruntime fp32" in step for step in steps)
