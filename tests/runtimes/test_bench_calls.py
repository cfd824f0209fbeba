"""A loop timed by its calls: which there are, and how often each is made."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from genx_runtimes.backends.onnxruntime import OnnxRuntimeSession
from genx_runtimes.bench.calls import list_calls, prepare_calls
from genx_runtimes.bench.case import Case
from genx_runtimes.bench.contender import Contender
from genx_runtimes.bundle import open_bundle
from genx_runtimes.session import Array
from genx_runtimes.tuning import Combination, measure, screen

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Note the inputs and rows of each run of a graph."""
    made: list[tuple[str, ...]] = []
    original = OnnxRuntimeSession.run

    def run(self: OnnxRuntimeSession, feeds: dict[str, Array]) -> dict[str, Array]:
        made.append((str(len(next(iter(feeds.values())))), *sorted(feeds)))
        return original(self, feeds)

    monkeypatch.setattr(OnnxRuntimeSession, "run", run)
    return made


def make_case(bundle: Path) -> Case:
    return Case(
        bundle=str(bundle),
        precision=None,
        backend="onnxruntime",
        source="",
        batch=2,
        threads=1,
        seed=0,
        start=0,
        seconds=0.01,
        warm_up_s=0.01,
    )


@pytest.mark.parametrize("name", ["tiny_recurrent", "tiny_tokens", "tiny_diffusion"])
def test_the_calls_are_those_of_the_loop(name: str, runs: list[tuple[str, ...]]) -> None:
    bundle = open_bundle(DATA / f"{name}.genx")
    calls, shares = list_calls(bundle, 2)
    assert runs == [], "counting runs no graph"
    with bundle.sampler() as sampler:
        next(sampler.sample(2, batch=2))
    expected = [(str(len(next(iter(c.feeds.values())))), *sorted(c.feeds)) for c in calls]
    assert set(runs) == set(expected)
    for kind, call in zip(expected, calls, strict=True):
        if name == "tiny_tokens":  # where the text ends is up to what is drawn
            continue
        assert runs.count(kind) == call.times * shares


def test_a_diffusion_is_one_call_of_all_its_steps(runs: list[tuple[str, ...]]) -> None:
    bundle = open_bundle(DATA / "tiny_diffusion.genx")
    ((call,), shares) = list_calls(bundle, 2)
    assert call.times == 1
    assert shares > 1
    with prepare_calls(make_case(bundle.path)) as prepared:
        prepared.draw(2)
    assert len(runs) == 1
    assert np.isfinite(call.feeds["x"]).all()


def test_the_time_of_calls_is_that_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measure_some(*arguments: object) -> list[Combination]:
        (contender, *_) = cast("list[Contender]", arguments[0])
        asked.append(contender.module)
        return [Combination(backend="onnxruntime", variant="fp32", threads=1, batch=1, p50_ms=7.0)]

    monkeypatch.setattr(screen, "_measure_some", measure_some)
    bundle = open_bundle(DATA / "tiny_diffusion.genx")
    _, shares = list_calls(bundle, 1)
    (by_calls,) = measure(bundle, ["fp32"], batch=1, threads=1, calls=True)
    (whole,) = measure(bundle, ["fp32"], batch=1, threads=1)
    assert (by_calls.p50_ms, whole.p50_ms) == (7.0 * shares, 7.0)
    assert asked == ["genx_runtimes.bench.calls", "genx_runtimes.bench.worker"]
