"""Two rows of a run, and of two runs: how many times as much one costs as the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.figures import Interval
from genx_runtimes.bench.ratio import add_speedups, divide_rounds, divide_runs
from genx_runtimes.bench.record import Row, Scenario

TORCH, ONNXRUNTIME, OPENVINO = 5, 0, 2  # places in the made up report


def pick_row(place: int = ONNXRUNTIME, scenario: Scenario = "single-stream") -> Row:
    report = make_report(scenarios=(scenario,))
    return replace(report.rows[place], speedup=None)


def in_rounds(*costs: float, place: int = ONNXRUNTIME) -> Row:
    return replace(pick_row(place), round_p50_ms=costs)


def with_median(p50: float, low: float, high: float) -> Row:
    row = pick_row()
    assert row.latency is not None
    interval = Interval(low=low, high=high)
    return replace(row, latency=replace(row.latency, p50_ms=p50, p50_interval=interval))


def test_what_drifts_is_gone_from_the_ratio_of_rounds() -> None:
    drift = np.linspace(1.0, 3.0, 6)
    slow, quick = in_rounds(*(2.0 * drift)), in_rounds(*drift)
    divided = divide_rounds(slow, quick)
    assert divided is not None
    assert divided[0] == pytest.approx(2.0)
    assert divided[1] is not None
    assert divided[1].high / divided[1].low == pytest.approx(1.0)


def test_the_interval_of_rounds_holds_95_times_of_100() -> None:
    random, trials = np.random.default_rng(3), 1000
    for rounds in (3, 6, 10):
        hits = 0
        for _ in range(trials):
            drift = np.exp(random.normal(0, 0.5, rounds))
            slow = in_rounds(*(1.3 * drift * np.exp(random.normal(0, 0.05, rounds))))
            divided = divide_rounds(slow, in_rounds(*drift))
            assert divided is not None
            assert divided[1] is not None
            hits += divided[1].low <= 1.3 <= divided[1].high
        assert 0.92 * trials < hits < 0.97 * trials


def test_a_round_that_was_disturbed_hardly_counts() -> None:
    calm = in_rounds(*[1.0] * 10)
    divided = divide_rounds(in_rounds(*[2.0] * 9, 9.0), calm)
    assert divided is not None
    assert divided[0] == pytest.approx(2.0)


def test_offline_is_divided_by_throughput_and_server_not_at_all() -> None:
    row = replace(pick_row(scenario="offline"), round_samples_per_s=(100.0, 200.0))
    other = replace(row, round_samples_per_s=(200.0, 400.0))
    divided = divide_rounds(row, other)
    assert divided is not None
    assert divided[0] == pytest.approx(2.0)  # half of the samples: twice the time
    served = replace(row, scenario="server")
    assert divide_rounds(served, served) is None
    assert divide_runs(served, served) is None


def test_two_runs_are_divided_offline_by_throughput() -> None:
    row = replace(pick_row(scenario="offline"), samples_per_s=150.0)
    row = replace(row, round_samples_per_s=(148.0, 150.0, 152.0))
    assert row.latency is not None
    other = replace(row, samples_per_s=300.0, round_samples_per_s=(296.0, 300.0, 304.0))
    other = replace(other, latency=replace(row.latency, p50_ms=row.latency.p50_ms * 7))
    divided = divide_runs(row, other)
    assert divided is not None
    assert divided[0] == pytest.approx(2.0)
    assert divided[1] is not None
    assert 1.8 < divided[1].low < 2.0 < divided[1].high < 2.2
    bare = replace(row, round_samples_per_s=())
    assert divide_runs(bare, other) == (pytest.approx(2.0), None)


def test_what_drifts_within_a_round_is_gone_from_the_ratio_of_turns() -> None:
    """The machine is half as fast in most turns of one, and the other is measured beside it."""
    turns = (1.0, 2.0, 2.0, 1.0, 2.0)
    quick = replace(in_rounds(2.0, 2.0), round_slices_ms=(turns, turns[::-1]))
    double = (tuple(3 * t for t in turns), tuple(3 * t for t in turns[::-1]))
    slow = replace(in_rounds(3.0, 3.0), round_slices_ms=double)  # of all its calls, otherwise
    divided = divide_rounds(slow, quick)
    assert divided is not None
    assert divided[0] == pytest.approx(3.0)


def test_a_turn_that_was_disturbed_does_not_count() -> None:
    calm = replace(in_rounds(1.0), round_slices_ms=((1.0,) * 5,))
    disturbed = replace(in_rounds(2.0), round_slices_ms=((2.0, 2.0, 90.0, 2.0, 2.0),))
    assert divide_rounds(disturbed, calm) == (pytest.approx(2.0), None)


def test_a_round_that_one_ran_alone_is_divided_as_a_whole() -> None:
    turns = replace(in_rounds(2.0, 2.0), round_slices_ms=((1.0, 2.0, 3.0), ()))
    assert divide_rounds(turns, in_rounds(1.0, 1.0))[0] == pytest.approx(2.0)  # type: ignore[index]


def test_a_single_round_has_a_ratio_and_no_interval() -> None:
    assert divide_rounds(in_rounds(3.0), in_rounds(2.0)) == (pytest.approx(1.5), None)


@pytest.mark.parametrize("costs", [(), (0.0, 1.0), (math.inf, 1.0)])
def test_no_ratio_of_what_cannot_be_a_time(costs: tuple[float, ...]) -> None:
    assert divide_rounds(in_rounds(*costs), in_rounds(1.0, 1.0)) is None


def test_the_rounds_that_both_ran_in_count() -> None:
    divided = divide_rounds(in_rounds(2.0, 2.0, 2.0), in_rounds(1.0, 1.0))
    assert divided is not None
    assert divided[0] == pytest.approx(2.0)


def test_the_interval_of_runs_holds_95_times_of_100() -> None:
    rng = np.random.default_rng(7)
    truth, trials, hits = 1.3, 4000, 0
    for first, other in zip(
        rng.normal(math.log(2.0), 0.03, trials),
        rng.normal(math.log(2.6), 0.01, trials),
        strict=True,
    ):
        # The interval of each median, as its own error would give it.
        rows = [
            with_median(math.exp(m), math.exp(m - 1.96 * sigma), math.exp(m + 1.96 * sigma))
            for m, sigma in ((other, 0.01), (first, 0.03))
        ]
        divided = divide_runs(rows[0], rows[1])
        assert divided is not None
        ratio, interval = divided
        assert interval is not None
        assert interval.low < ratio < interval.high
        hits += interval.low <= truth <= interval.high
    assert 0.94 < hits / trials < 0.96


def test_each_side_takes_the_ends_that_matter() -> None:
    divided = divide_runs(with_median(10.0, 9.0, 10.0), with_median(5.0, 5.0, 6.0))
    assert divided is not None
    ratio, interval = divided
    assert interval is not None
    assert ratio == pytest.approx(2.0)
    assert interval.high == pytest.approx(2.0)  # neither end goes that way
    below = math.hypot(math.log(10 / 9), math.log(6 / 5))
    assert interval.low == pytest.approx(2.0 * math.exp(-below))


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_no_ratio_of_runs_without_a_time(bad: float) -> None:
    assert divide_runs(with_median(1.0, bad, 2.0), with_median(1.0, 1.0, 1.0)) is None


def test_a_row_says_how_fast_it_is_beside_pytorch() -> None:
    rows = [
        in_rounds(2.0, 4.0, place=ONNXRUNTIME),
        in_rounds(1.0, 2.0, place=OPENVINO),
        in_rounds(6.0, 12.0, place=TORCH),
    ]
    told = [row.speedup for row in add_speedups(rows)]
    assert told[2] is None
    assert [s and (s.contender, s.ratio, s.rounds) for s in told[:2]] == [
        ("torch", pytest.approx(3.0), 2),
        ("torch", pytest.approx(6.0), 2),
    ]


def test_without_pytorch_it_is_held_against_the_first_that_was_measured() -> None:
    failed = replace(pick_row(), contender="broken", latency=None, round_p50_ms=())
    rows = [failed, in_rounds(2.0, 2.0), in_rounds(1.0, 1.0, place=OPENVINO)]
    told = [row.speedup for row in add_speedups(rows)]
    assert told[:2] == [None, None]
    assert told[2] is not None
    assert (told[2].contender, told[2].ratio) == ("onnxruntime fp32", pytest.approx(2.0))


def test_rows_of_other_cases_are_not_compared() -> None:
    rows = [in_rounds(1.0, 1.0), replace(in_rounds(2.0, 2.0, place=OPENVINO), batch=4)]
    assert [row.speedup for row in add_speedups(rows)] == [None, None]
