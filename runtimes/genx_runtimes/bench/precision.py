"""Whether there are more rounds: while the ratio of contenders is not known well enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genx_runtimes.bench.ratio import divide_rounds, find_base
from genx_runtimes.bench.tally import Tally

# Half of the 95 % interval of a ratio, relative to it.
WANTED = 0.02
# What fewer rounds disagree on says too little of how many more it takes.
_ENOUGH = 5


def is_sure(group: Sequence[Tally]) -> bool:
    """Return whether cases that are compared need no more rounds.

    It depends on how wide an interval is, never on the ratio.
    """
    live = [tally for tally in group if not tally.failure]
    if len(live) < 2:
        return True
    base = find_base(live)
    return len(base.rounds) < _ENOUGH or all(_find_reach(tally, base) <= WANTED for tally in live)


def _find_reach(tally: Tally, other: Tally) -> float:
    """Return half of the interval of a ratio, 0 where there is none."""
    found = divide_rounds(tally, other)
    interval = found and found[1]
    return math.log(interval.high / interval.low) / 2 if interval else 0.0
