"""How to measure, checked before anything starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genx_runtimes.bench.record import SCENARIOS, Scenario
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.sampler import check_batch

DEFAULT_BATCHES = (1, 4, 16)
DEFAULT_ROUNDS = 10
MAX_ROUNDS = 1000
# Of the rounds, where contenders' ratio is not known well enough.
MOST_TIMES = 3
# A search for a rate needs longer than a median; it finds the same one within some per cent.
_MOST_SEARCHES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """How to measure.

    Args:
        scenarios: MLPerf's, in order.
        batches: batch sizes; None takes those of 1, 4 and 16 that the bundle allows.
        threads: engine threads of every contender, which its instances share; None takes the
            usable cores.
        min_duration_s: timed seconds a case, over all `rounds`.
        min_count: calls a case at least, over all rounds, while that takes no longer than three
            times `min_duration_s`.
        rounds: how often each contender is measured, in a new process; in `server` three times at
            most. Up to three times as often, from five on, while their ratio is not known to 2 %.
        warm_up_s: when a warm-up gives up waiting for stable latencies.
        latency_bound_ms: of scenario `server`: 99 % of the queries must be answered by then.
        grace_s: seconds that a worker may take beyond warm-up and timing, loading included.
        allow_fallback: whether what the backend's device cannot run may run elsewhere.
        examine: whether the golden samples are compared before, and the parts of a call timed.
    """

    scenarios: tuple[Scenario, ...] = ("single-stream",)
    batches: tuple[int, ...] | None = None
    threads: int | None = None
    min_duration_s: float = 10.0
    min_count: int = 50
    rounds: int = DEFAULT_ROUNDS
    warm_up_s: float = 2.0
    latency_bound_ms: float = 50.0
    grace_s: float = 300.0
    allow_fallback: bool = False
    examine: bool = True

    def __post_init__(self) -> None:
        _check_positive("min-duration", self.min_duration_s, "seconds")
        _check_positive("latency-bound", self.latency_bound_ms, "milliseconds")
        if not 1 <= self.rounds <= MAX_ROUNDS:
            raise InputError(f"rounds is {self.rounds}, expected 1 to {MAX_ROUNDS}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads is {self.threads}, expected 1 or more")

    def count_rounds(self, scenario: Scenario) -> int:
        """Return how often a case of a scenario is measured."""
        return min(self.rounds, _MOST_SEARCHES) if scenario == "server" else self.rounds


def parse_batches(text: str) -> tuple[int, ...]:
    """Parse `1,4,16`.

    Raises:
        InputError: not a list of batch sizes.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--batch {text!r} is not a list of batch sizes", fix="--batch 1,4,16")
    return tuple(dict.fromkeys(map(int, parts)))


def parse_scenarios(text: str) -> tuple[Scenario, ...]:
    """Parse `single-stream,offline`, or `all`.

    Raises:
        InputError: not a list of scenarios.
    """
    if text == "all":
        return SCENARIOS
    found: dict[Scenario, None] = {}
    for part in (part.strip() for part in text.split(",")):
        known = next((s for s in SCENARIOS if s == part), None)
        if known is None:
            raise InputError(f"unknown scenario {part!r}", fix=suggest(part, SCENARIOS))
        found[known] = None
    return tuple(found)


def choose_batches(wanted: tuple[int, ...] | None, bounds: BatchBounds) -> tuple[int, ...]:
    """Return the batch sizes to measure: those wanted, or the usual ones that are allowed.

    Raises:
        InputError: one that is wanted is not allowed.
    """
    if wanted is None:
        usual = (b for b in DEFAULT_BATCHES if bounds.min <= b <= bounds.max)
        return tuple(usual) or (bounds.min,)
    for batch in wanted:
        check_batch(bounds, batch)
    return wanted


def _check_positive(name: str, value: float, unit: str) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {value}, expected {unit} above 0")
