"""How to measure, checked before anything starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.sampler import check_batch

DEFAULT_BATCHES = (1, 4, 16)
MAX_ROUNDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """How to measure.

    Args:
        batches: batch sizes; None takes those of 1, 4 and 16 that the bundle allows.
        precision: the variant; None is the first.
        threads: engine threads of every contender; None takes the usable cores.
        min_duration_s: timed seconds for each contender and batch size, over all rounds.
        rounds: how often the contenders take turns.
        warm_up_s: when a warm-up gives up waiting for stable latencies.
        grace_s: seconds that a worker may take beyond warm-up and timing, loading included.
        allow_fallback: whether what the backend's device cannot run may run elsewhere.
    """

    batches: tuple[int, ...] | None = None
    precision: str | None = None
    threads: int | None = None
    min_duration_s: float = 2.0
    rounds: int = 3
    warm_up_s: float = 2.0
    grace_s: float = 300.0
    allow_fallback: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_duration_s < math.inf:
            raise InputError(f"min-duration is {self.min_duration_s}, expected seconds above 0")
        if not 1 <= self.rounds <= MAX_ROUNDS:
            raise InputError(f"rounds is {self.rounds}, expected 1 to {MAX_ROUNDS}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads is {self.threads}, expected 1 or more")


def parse_batches(text: str) -> tuple[int, ...]:
    """Parse `1,4,16`.

    Raises:
        InputError: not a list of batch sizes.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--batch {text!r} is not a list of batch sizes", fix="--batch 1,4,16")
    return tuple(dict.fromkeys(map(int, parts)))


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
