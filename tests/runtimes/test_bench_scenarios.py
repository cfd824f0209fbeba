from __future__ import annotations

import numpy as np
import pytest

from genx_runtimes.bench.scenarios import (
    run_multi_stream,
    run_offline,
    run_server,
    run_single_stream,
    split_query,
)

MS = 1_000_000


class Engine:
    """A machine whose calls take `fixed + each * samples` nanoseconds; sleeping takes its time.

    A look at its clock takes `tick` nanoseconds, so that waiting in a loop ends.
    """

    def __init__(self, fixed: int, each: int, tick: int = 100) -> None:
        self.now = 0
        self.asked: list[int] = []
        self._fixed, self._each, self._tick = fixed, each, tick

    def draw(self, count: int) -> None:
        self.asked.append(count)
        self.now += self._fixed + self._each * count

    def clock(self) -> int:
        self.now += self._tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def test_single_stream_is_one_call_after_another() -> None:
    engine = Engine(MS, MS)
    found = run_single_stream(engine.draw, 4, seconds=1, min_count=5, clock=engine.clock)
    assert set(engine.asked) == {4}
    assert found.samples == 4 * len(found.latencies_ns) == 4 * 200
    assert found.latencies_ns[0] == pytest.approx(5 * MS, rel=1e-3)
    assert found.wall_ns >= sum(found.latencies_ns)


@pytest.mark.parametrize(
    ("batch", "parts"), [(1, [1] * 8), (3, [3, 3, 2]), (4, [4, 4]), (8, [8]), (16, [8])]
)
def test_a_multi_stream_query_is_eight_samples(batch: int, parts: list[int]) -> None:
    assert split_query(batch) == parts
    engine = Engine(MS, MS)
    found = run_multi_stream(engine.draw, batch, seconds=0.1, min_count=1, clock=engine.clock)
    assert engine.asked[: len(parts)] == parts
    assert found.samples == sum(engine.asked) == 8 * len(found.latencies_ns)
    assert found.latencies_ns[0] == pytest.approx((8 + len(parts)) * MS, rel=1e-3)


def test_offline_adds_up_all_instances() -> None:
    counts = [0, 0]

    def call(index: int) -> None:
        counts[index] += 1

    found = run_offline([lambda: call(0), lambda: call(1)], 16, seconds=0.02)
    assert min(counts) > 0
    assert found.samples == 16 * sum(counts)
    assert len(found.latencies_ns) == sum(counts)
    assert found.wall_ns >= 0.02e9


def test_offline_makes_as_many_calls_as_asked_for() -> None:
    engine = Engine(100 * MS, 0)
    found = run_offline([lambda: engine.draw(1)], 1, seconds=1, min_count=25, clock=engine.clock)
    assert len(found.latencies_ns) == 25


def test_what_an_offline_instance_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("engine")

    with pytest.raises(ValueError, match="engine"):
        run_offline([lambda: None, fail], 1, seconds=0.01)


def test_the_server_rate_of_a_machine_whose_limit_is_known() -> None:
    """One at a time, 1 ms each: an M/D/1 queue, whose 99th percentile is known.

    Source: the waiting time of M/D/1; at a load of 0.7 the 99th percentile of waiting is about 5.2
    services (Erlang's formula, summed by hand below).
    """
    engine = Engine(0, MS, tick=5000)
    found = run_server(
        engine.draw, 1, bound_ms=6.2, seconds=100, clock=engine.clock, sleep=engine.sleep
    )
    assert found.rate is not None
    assert find_load(waiting=5.2, share=0.99) == pytest.approx(found.rate / 1000, abs=0.05)
    assert np.percentile(found.latencies_ns, 99) <= 6.2 * MS


def find_load(*, waiting: float, share: float) -> float:
    """Return the load at which that share of an M/D/1 queue's customers wait less than `waiting`.

    Source: A. K. Erlang (1909): P(W <= t) = (1 - r) sum_k (r (k - t))^k / k! exp(-r (k - t)).
    """
    loads = np.linspace(0.05, 0.95, 181)

    def below(load: float) -> float:
        terms, factorial = 0.0, 1.0
        for k in range(int(waiting) + 1):
            factorial *= max(k, 1)
            terms += (load * (k - waiting)) ** k / factorial * np.exp(-load * (k - waiting))
        return float((1 - load) * terms)

    return float(max(load for load in loads if below(float(load)) >= share))


def test_queries_that_wait_are_drawn_together() -> None:
    alone, joined = (Engine(5 * MS, 0, tick=5000) for _ in range(2))
    one, many = (
        run_server(e.draw, batch, bound_ms=50, seconds=60, clock=e.clock, sleep=e.sleep).rate
        for e, batch in ((alone, 1), (joined, 8))
    )
    assert one is not None
    assert many is not None
    assert 150 < one < 200  # a call takes 5 ms
    assert many > 4 * one
    assert max(joined.asked) == 8


def test_a_bound_below_one_call_is_never_met() -> None:
    engine = Engine(10 * MS, 0)
    found = run_server(
        engine.draw, 4, bound_ms=5, seconds=10, clock=engine.clock, sleep=engine.sleep
    )
    assert (found.rate, found.latencies_ns) == (None, [])


def test_a_search_that_ends_too_early_tells_no_rate() -> None:
    """Each probe takes 500 queries: there is time for a few, and the rate is not known by then."""
    engine = Engine(0, 3 * MS)
    found = run_server(
        engine.draw, 1, bound_ms=50, seconds=3.4, clock=engine.clock, sleep=engine.sleep
    )
    assert found.rate is None
    assert len(found.latencies_ns) >= 500, "some probe met the bound"


def test_a_model_too_slow_for_five_hundred_queries_gives_no_rate() -> None:
    engine = Engine(2_000 * MS, 0)
    found = run_server(
        engine.draw, 1, bound_ms=60_000, seconds=10, clock=engine.clock, sleep=engine.sleep
    )
    assert found.rate is None
    assert engine.now < 60e9
