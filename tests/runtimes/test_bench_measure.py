from __future__ import annotations

from genx_runtimes.bench.measure import time_calls, warm_up

MS = 1_000_000


class Work:
    """A call and its clock: each call takes the next of the given durations, then the last."""

    def __init__(self, durations_ns: list[int]) -> None:
        self._durations = durations_ns
        self.now = 0
        self.calls = 0

    def __call__(self) -> None:
        self.now += self._durations[min(self.calls, len(self._durations) - 1)]
        self.calls += 1

    def clock(self) -> int:
        return self.now


def test_warm_up_ends_when_the_medians_agree() -> None:
    slow_start = [100 * MS, 50 * MS, 60 * MS, *[10 * MS] * 50]
    work = Work(slow_start)
    found = warm_up(work, limit_s=100, clock=work.clock)
    assert found.stable
    # One window of the slow calls, then three windows of three calls that agree.
    assert (found.calls, found.spread) == (12, 0.0)


def test_warm_up_that_never_settles_gives_up_and_says_so() -> None:
    work = Work([(i + 1) * MS for i in range(10_000)])
    found = warm_up(work, limit_s=0.5, clock=work.clock)
    assert not found.stable
    assert found.spread > 0.05
    assert 0.5e9 <= work.now < 0.6e9


def test_warm_up_of_a_slow_model_is_one_call() -> None:
    work = Work([10_000 * MS])
    found = warm_up(work, limit_s=1, clock=work.clock)
    assert (found.calls, found.stable) == (1, False)


def test_timing_lasts_as_long_as_asked_and_as_many_calls() -> None:
    fast, slow = Work([10 * MS]), Work([400 * MS])
    assert time_calls(fast, seconds=1, clock=fast.clock) == [10 * MS] * 100
    assert time_calls(slow, seconds=1, min_count=5, clock=slow.clock) == [400 * MS] * 5


def test_calls_that_take_too_long_are_given_up() -> None:
    slow, very_slow = Work([900 * MS]), Work([90_000 * MS])
    assert time_calls(slow, seconds=1, min_count=50, clock=slow.clock) == [900 * MS] * 4
    assert len(time_calls(very_slow, seconds=1, min_count=50, clock=very_slow.clock)) == 1
