from __future__ import annotations

import numpy as np
import pytest

from genx_runtimes.bench.statistics import describe, estimate, find_student, make_histogram

MS = 1_000_000


def draw(seed: int, size: int, scale: float = 1.0) -> list[int]:
    random = np.random.default_rng(seed)
    return [int(x) for x in scale * MS * random.gamma(4.0, 0.25, size)]


def test_percentiles_are_those_of_numpy() -> None:
    latencies = draw(0, 6000)
    found = describe([latencies[:1000], latencies[1000:]])
    expected = np.percentile(latencies, [50, 90, 95, 99, 99.9]) / MS
    told = [found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms, found.p999_ms]
    assert told == pytest.approx(expected.tolist())
    assert (found.count, found.best_ms) == (6000, min(latencies) / MS)
    assert found.mean_ms == pytest.approx(np.mean(latencies) / MS)


@pytest.mark.parametrize(
    ("count", "told"), [(49, ""), (50, "90"), (100, "90 95"), (500, "90 95 99"), (4999, "90 95 99")]
)
def test_tails_without_five_calls_beyond_them_are_not_told(count: int, told: str) -> None:
    found = describe([draw(1, count)])
    tails = {"90": found.p90_ms, "95": found.p95_ms, "99": found.p99_ms, "99.9": found.p999_ms}
    assert " ".join(name for name, value in tails.items() if value is not None) == told


def test_one_latency() -> None:
    found = describe([[2 * MS]])
    assert (found.p50_ms, found.count, found.p90_ms) == (2.0, 1, None)
    assert found.p50_interval is None  # a single round does not tell


@pytest.mark.parametrize("rounds", [2, 3, 6, 10])
def test_the_interval_holds_the_true_median_as_often_as_it_says(rounds: int) -> None:
    """Rounds that are each shifted a little: calls alone would give far too narrow an interval."""
    held, runs = 0, 400
    for seed in range(runs):
        random = np.random.default_rng(seed)
        shifts = random.normal(0.0, 0.05, rounds)
        parts = [list((1 + s + random.normal(0, 0.02, 100)) * MS) for s in shifts]
        interval = describe(parts).p50_interval
        assert interval is not None
        held += interval.low <= 1.0 <= interval.high
    assert 0.90 * runs < held < 0.98 * runs  # where rounds are trimmed it holds 93 of 100


def test_the_interval_holds_the_median_that_is_told() -> None:
    """A slow round of few calls hardly moves the median of all calls, but what rounds agree on."""
    found = describe([[1 * MS] * 10_000, [2 * MS] * 10, [2 * MS] * 10])
    assert found.p50_interval is not None
    assert found.p50_interval.low <= found.p50_ms == 1.0


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (30, 2.042)]
)
def test_students_t_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert find_student(freedom) == pytest.approx(expected, rel=2e-3)


def test_what_rounds_agree_on() -> None:
    middle, interval = estimate([1.0, 2.0, 4.0])  # too few to leave any out
    assert middle == pytest.approx(2.0)
    assert interval is not None
    assert interval.high == pytest.approx(2 * np.exp(4.3027 * np.log(2) / np.sqrt(3)))
    assert estimate([3.0]) == (pytest.approx(3.0), None)
    middle, _ = estimate([0.1, 2.0, 2.0, 2.0, 50.0])  # one disturbed round on either side
    assert middle == pytest.approx(2.0)


def test_a_short_round_weighs_as_much_as_it_has_calls() -> None:
    rounds = [[1 * MS] * 10_000, [2 * MS] * 10]
    assert describe(rounds).p50_ms == 1.0


def test_outliers() -> None:
    calm = [MS + i for i in range(1000)]
    assert describe([calm]).outliers == 0
    assert describe([[*calm, 3 * MS, 4 * MS]]).outliers == 2


def test_the_histogram_keeps_every_call_within_one_128th() -> None:
    latencies = [*draw(3, 5000, scale=37.0), 1, 2, 127, 128, 255, 256, 10**12]
    found = make_histogram(latencies)
    assert sum(found.counts) == len(latencies)
    assert list(found.values_ns) == sorted(set(found.values_ns))
    lows = np.repeat(found.values_ns, found.counts)
    exact = np.sort(latencies)
    assert np.all(lows <= exact)
    assert np.all(exact - lows <= np.maximum(exact / 128, 0))
    assert len(found.values_ns) < 1500
