"""Measuring one candidate once, in its own process, and what is kept of that."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from genx_runtimes.bench.contender import genx_contender
from genx_runtimes.bench.options import BenchOptions
from genx_runtimes.bench.record import Row
from genx_runtimes.bench.run import run_bench
from genx_runtimes.bundle import Bundle
from genx_runtimes.tuning.candidates import Candidate
from genx_runtimes.tuning.judge import pair
from genx_runtimes.tuning.record import Combination
from genx_runtimes.tuning.request import Goal

WORKER = "genx_runtimes.tuning.worker"
_COUNT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long one process may take, in seconds: timing, warm-up, and all else."""

    seconds: float
    warm_up_s: float
    grace_s: float
    examine: bool = False


@dataclass(slots=True, kw_only=True)
class Trial:
    """What is known of a candidate.

    Args:
        candidate: what was tried.
        screened: the cost in each round before the finals: ms a sample, or ms of a call.
        finals: the cost by final round.
        p50s_ms: medians of each process, in the same order, before the finals and in them.
        failure: why it may not be chosen.
        note: where it was left behind.
        is_checked: whether it drew the golden samples.
    """

    candidate: Candidate
    screened: list[float] = field(default_factory=list)
    finals: dict[int, float] = field(default_factory=dict)
    p50s_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    noisy: int = 0
    failure: str = ""
    note: str = ""
    is_checked: bool = False

    @property
    def cost(self) -> float:
        """The median of the finals, before them the lowest; infinite where there is none.

        The finals count what half of the processes keep, which is what a user gets.
        """
        if self.failure:
            return float("inf")
        if self.finals:
            return statistics.median(self.finals.values())
        return min(self.screened, default=float("inf"))

    def take(self, row: Row, goal: Goal, turn: int | None, max_memory: int | None) -> None:
        """Keep what a process measured; `turn` is the final round, None before the finals."""
        if row.latency is None or row.samples_per_s is None:
            self.failure = "; ".join(row.reasons)
            return
        self.p50s_ms.append(row.latency.p50_ms)
        self.rates.append(row.samples_per_s)
        self.noisy += row.verdict == "noisy"
        cost = row.latency.p50_ms if goal == "latency" else 1e3 / row.samples_per_s
        if turn is None:
            self.screened.append(cost)
        else:
            self.finals[turn] = cost
        peak = row.memory.peak_resident if row.memory else None
        self.peak_bytes = max(filter(None, (self.peak_bytes, peak)), default=None)
        if max_memory is not None:
            if self.peak_bytes is None:
                self.failure = "the system does not tell what memory it takes"
            elif self.peak_bytes > max_memory:
                self.failure = (
                    f"takes {self.peak_bytes / 1e6:.0f} MB, allowed {max_memory / 1e6:.0f} MB"
                )

    def describe(self, default: Trial) -> Combination:
        """Return what is told of it, beside the default."""
        known = bool(self.p50s_ms)
        count = len(self.finals)
        ratios = pair(self.finals, default.finals) if self is not default else []
        found = self.candidate
        return Combination(
            backend=found.backend,
            variant=found.variant,
            threads=found.threads,
            instances=found.instances,
            batch=found.batch,
            p50_ms=(statistics.median(self.p50s_ms[-count:]) if count else min(self.p50s_ms))
            if known
            else None,
            samples_per_s=(statistics.median(self.rates[-count:]) if count else max(self.rates))
            if known
            else None,
            peak_bytes=self.peak_bytes,
            rounds=len(ratios) if self is not default else count,
            faster_in=sum(ratio > 1 for ratio in ratios),
            gain=statistics.median(ratios) if ratios else None,
            failure=self.failure,
            note=self.note,
            is_default=self is default,
        )


Measure = Callable[[Bundle, Candidate, Goal, Effort], Row]


def measure_once(bundle: Bundle, candidate: Candidate, goal: Goal, effort: Effort) -> Row:
    """Measure a candidate in a process of its own.

    Raises:
        KeyboardInterrupt: the user's.
    """
    contender = replace(
        genx_contender(
            bundle,
            candidate.backend,
            candidate.variant,
            threads=candidate.threads,
            instances=candidate.instances,
        ),
        batches=(candidate.batch,),
        module=WORKER,
    )
    options = BenchOptions(
        scenarios=("single-stream",) if goal == "latency" else ("offline",),
        min_duration_s=effort.seconds,
        min_count=_COUNT,
        rounds=1,
        warm_up_s=effort.warm_up_s,
        grace_s=effort.grace_s,
        examine=effort.examine,
    )
    report = run_bench([contender], options)
    if not report.complete:
        raise KeyboardInterrupt
    return report.rows[0]


def sort_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Return what may be chosen, the cheapest first, then the rest."""
    return sorted(trials, key=lambda t: (t.cost, bool(t.failure), not t.p50s_ms))
