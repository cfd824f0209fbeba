"""How many turns contenders take: until their ratio is known, or it has been tried long enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from genx_runtimes.bench import BenchOptions, BenchReport, Contender, run_bench
from genx_runtimes.bench import rounds as rounds_module
from genx_runtimes.bench.case import Case, Measurement
from genx_runtimes.bench.measure import WarmUp
from genx_runtimes.bench.record import Scenario
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import Outcome

STRIDE = 2**44
Cost = Callable[[int], float]


def bench(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    costs: dict[str, Cost],
    rounds: int,
    scenario: Scenario = "single-stream",
) -> BenchReport:
    """Measure contenders whose cost is told by the number of the round."""

    def measure(command: object, *, data: bytes, timeout_s: float) -> Outcome:
        del command, timeout_s
        case = msgspec.json.decode(data, type=Case)
        took = int(costs[case.source](case.start // STRIDE) * 1e6)
        measured = Measurement(
            warm_up=WarmUp(calls=3, stable=True, spread=0.0, call_ns=took),
            latencies_ns=[took] * 9,
            samples=9,
            wall_ns=9 * took,
            versions={},
            rate=1.0,
        )
        return Outcome(output=msgspec.json.encode(measured))

    monkeypatch.setattr(rounds_module, "run_child", measure)
    found = open_bundle(bundle)
    contenders = [
        Contender(
            bundle=found,
            name=name,
            module="none",
            backend="onnxruntime",
            source=name,
        )
        for name in costs
    ]
    options = BenchOptions(
        batches=(1,), rounds=rounds, examine=False, threads=1, scenarios=(scenario,)
    )
    return run_bench(contenders, options)


def steady(turn: int) -> float:
    return 1.0


def drifting(turn: int) -> float:
    """Slow down as a machine does, and every contender with it."""
    return 1 + turn % 7


def jumping(turn: int) -> float:
    """Differ by half from round to round."""
    return 1 + turn % 2 / 2


def calming(turn: int) -> float:
    return jumping(turn) if turn < 5 else 1.0


@pytest.mark.parametrize(
    ("costs", "rounds", "taken"),
    [
        ((steady, steady), 5, 5),
        ((drifting, lambda turn: 2 * drifting(turn)), 5, 5),  # the ratio is what counts
        ((steady, jumping), 5, 15),
        ((steady, jumping), 4, 4),  # four rounds say too little
        ((steady, jumping), 10, 30),
        ((steady, steady, jumping), 5, 15),
        ((jumping,), 5, 5),  # nothing to compare it with
    ],
)
@pytest.mark.parametrize("scenario", ["single-stream", "offline"])
def test_rounds_until_the_ratio_is_known(
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    costs: tuple[Cost, ...],
    rounds: int,
    taken: int,
    scenario: Scenario,
) -> None:
    report = bench(
        tiny_bundle, monkeypatch, dict(zip("abc", costs, strict=False)), rounds, scenario
    )
    assert [len(row.round_p50_ms) for row in report.rows] == [taken] * len(costs)
    assert report.settings.rounds == rounds


def test_no_more_rounds_than_it_takes(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = bench(tiny_bundle, monkeypatch, {"a": steady, "b": calming}, 5)
    taken = {len(row.round_p50_ms) for row in report.rows}
    assert len(taken) == 1
    assert 5 < taken.pop() < 15
    speedup = report.rows[1].speedup
    assert speedup is not None
    assert speedup.interval is not None
    assert speedup.interval.high / speedup.interval.low <= 1.03**2 + 1e-3


def test_the_server_searches_no_more_often(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = bench(tiny_bundle, monkeypatch, {"a": steady, "b": jumping}, 9, "server")
    assert [len(row.round_p50_ms) for row in report.rows] == [3, 3]
