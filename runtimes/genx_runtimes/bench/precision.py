"""Which contenders take more turns: those whose ratio to another is not known well enough yet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genx_runtimes.bench.ratio import divide_rounds
from genx_runtimes.bench.tally import Tally

# Half of the 95 % interval of a ratio, relative to it.
WANTED = 0.03
# What fewer rounds disagree on says too little of how many more it takes.
_ENOUGH = 5


def list_unsure(tallies: Sequence[Tally]) -> list[Tally]:
    """Return the cases that should take one more turn, with those that they are compared with.

    Whether there are any depends on how wide an interval is, never on the ratio.
    """
    groups: dict[tuple[str, int, str], list[Tally]] = {}
    for tally in tallies:
        if not tally.failure:
            key = (tally.contender.bundle.digest, tally.batch, tally.scenario)
            groups.setdefault(key, []).append(tally)
    return [tally for group in groups.values() if not _is_sure(group) for tally in group]


def _is_sure(group: Sequence[Tally]) -> bool:
    first, *others = group
    return len(first.rounds) < _ENOUGH or all(_find_reach(o, first) <= WANTED for o in others)


def _find_reach(tally: Tally, other: Tally) -> float:
    """Return half of the interval of a ratio, 0 where there is none."""
    found = divide_rounds(tally, other)
    interval = found and found[1]
    return math.log(interval.high / interval.low) / 2 if interval else 0.0
