"""When is one way to run faster than another?

Costs are compared round by round, because what disturbs a machine lasts longer than a process. The
same engine may flip between two speeds from process to process, and other programs slow some rounds
down many times over: means and their intervals say little of such figures, orders still do.

Source: W. J. Dixon and A. M. Mood, "The Statistical Sign Test" (JASA, 1946); for few rounds,
H. B. Mann and D. R. Whitney, "On a Test of Whether one of Two Random Variables is Stochastically
Larger than the Other" (1947): that three of one all lie below three of the other has a chance of
one in twenty where both are alike. That is the chance of one look; docs/tune.md tells that of all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

# What is gained must be worth another engine, and a wrong choice must not cost as much.
GAIN = 1.02
_CHANCE = 0.05
_SEPARATE = 3

Costs = Mapping[int, float]


def pair(costs: Costs, others: Costs) -> list[float]:
    """Return others' cost over that of `costs`, of each round that both have; above 1 is faster."""
    return [others[turn] / costs[turn] for turn in costs if turn in others]


def is_clearly_faster(costs: Costs, others: Costs, *, gain: float = GAIN) -> bool:
    """Whether the cost is lower by `gain` in the median round, and that is no accident.

    It is none where a sign test over the rounds says so with 95 %, or where from three rounds on
    every one is below all of the other's.

    Args:
        costs: by round; the rounds that both have are compared.
        others: of what it is compared with.
        gain: the least ratio of the costs.
    """
    ratios = pair(costs, others)
    if not ratios or statistics.median(ratios) < gain:
        return False
    if sign_test(ratios) <= _CHANCE:
        return True
    turns = [turn for turn in costs if turn in others]
    apart = max(costs[t] for t in turns) < min(others[t] for t in turns)
    return len(turns) >= _SEPARATE and apart


def sign_test(ratios: Sequence[float]) -> float:
    """Return the chance of so many ratios above 1, or more, if above and below were as likely."""
    above, count = sum(ratio > 1 for ratio in ratios), len(ratios)
    return sum(math.comb(count, k) for k in range(above, count + 1)) / float(2**count)
