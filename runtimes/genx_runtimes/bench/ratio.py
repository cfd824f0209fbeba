"""The ratio of two rows: of turns next to one another, or of two runs that know nothing of it.

What drifts on a machine, its clock, its temperature, its neighbours, mostly lasts longer than a
turn: divided turn by turn it is gone, and what is left is what the rounds disagree on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Protocol, TypeVar

from msgspec.structs import replace

from genx_runtimes.bench.figures import Interval, Speedup
from genx_runtimes.bench.record import Row, Scenario
from genx_runtimes.bench.statistics import estimate, find_interval

Ratio = tuple[float, Interval | None]
_Rounds = TypeVar("_Rounds", bound="Rounds")


class Rounds(Protocol):
    """What rounds measured: a `Row`, or a `Tally` while they go on."""

    @property
    def scenario(self) -> Scenario:
        """MLPerf's word."""
        ...

    @property
    def backend(self) -> str:
        """The engine, or `torch`."""
        ...

    @property
    def round_slices_ms(self) -> tuple[tuple[float, ...], ...]:
        """The median of each turn, of each round; empty where a round was one turn."""
        ...

    @property
    def round_p50_ms(self) -> tuple[float, ...]:
        """The median of each round."""
        ...

    @property
    def round_samples_per_s(self) -> tuple[float, ...]:
        """The throughput of each round."""
        ...


def list_costs(row: Rounds) -> tuple[float, ...]:
    """Return what each round cost: ms of the median call, in `offline` ms a sample.

    In `server` there is none: the rounds run at different loads.
    """
    if row.scenario == "server":
        return ()
    if row.scenario == "offline":
        rates = row.round_samples_per_s
        return tuple(1e3 / rate for rate in rates) if all(rate > 0 for rate in rates) else ()
    return row.round_p50_ms


def divide_rounds(row: Rounds, other: Rounds) -> Ratio | None:
    """Return how many times as much a row costs as another that took turns with it.

    Args:
        row: of a run.
        other: of the same run and scenario; above 1, `row` is slower than it.

    Returns:
        what the rounds' ratios agree on, and its 95 % interval; None where there are none.
    """
    # A run that was interrupted may have ended with one of the two.
    pairs = list(zip(_list_turns(row), _list_turns(other), strict=False))
    if not all(_is_positive(*a, *b) for a, b in pairs):
        return None
    return estimate([_divide_turns(a, b) for a, b in pairs]) if pairs else None


def _list_turns(row: Rounds) -> list[tuple[float, ...]]:
    """Return what each turn of each round cost; a round without turns is one."""
    costs = [(cost,) for cost in list_costs(row)]
    return [turns or cost for cost, turns in zip(costs, row.round_slices_ms or costs, strict=False)]


def _divide_turns(turns: tuple[float, ...], others: tuple[float, ...]) -> float:
    """Return the ratio that most turns of a round agree on, each beside the other's."""
    if len(turns) != len(others):  # one of the two did not take turns
        return median(turns) / median(others)
    return math.exp(median(math.log(a / b) for a, b in zip(turns, others, strict=True)))


def divide_runs(row: Row, other: Row) -> Ratio | None:
    """Return how many times as much a row costs as one of another run.

    The distances from each cost to the ends of its own interval are added as squares, on a
    logarithmic scale: the method of variance estimates recovery. The intervals need be neither
    symmetric nor of the same width.

    Source: Zou and Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27, 2008; its difference, here of logarithms.
    """
    found, divisor = _find_cost(row), _find_cost(other)
    if found is None or divisor is None:
        return None
    (cost, interval), (base, limits) = found, divisor
    if interval is None or limits is None:
        return cost / base, None
    middle = math.log(cost / base)
    below = math.hypot(math.log(cost / interval.low), math.log(limits.high / base))
    above = math.hypot(math.log(interval.high / cost), math.log(base / limits.low))
    return cost / base, Interval(low=math.exp(middle - below), high=math.exp(middle + above))


def find_base(group: Sequence[_Rounds]) -> _Rounds:
    """Return beside what the others' speed is told: PyTorch, or the first contender."""
    return next((rounds for rounds in group if rounds.backend == "torch"), group[0])


def add_speedups(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows of a run, each with its speed beside PyTorch or the first contender."""
    made = []
    for row in rows:
        case = (row.bundle, row.batch, row.scenario)
        others = [o for o in rows if (o.bundle, o.batch, o.scenario) == case and o.latency]
        base = find_base(others or [row])
        made.append(row if base is row else replace(row, speedup=_find_speedup(row, base)))
    return tuple(made)


def _find_speedup(row: Row, base: Row) -> Speedup | None:
    divided = divide_rounds(base, row)
    if divided is None:
        return None
    ratio, interval = divided
    rounds = min(len(list_costs(row)), len(list_costs(base)))
    return Speedup(contender=base.contender, ratio=ratio, interval=interval, rounds=rounds)


def _find_cost(row: Row) -> Ratio | None:
    """Return what a call, in `offline` a sample, cost over all rounds, and the interval of that."""
    if row.scenario == "server" or row.latency is None:
        return None
    cost, interval = row.latency.p50_ms, row.latency.p50_interval
    if row.scenario == "offline":
        if not row.samples_per_s:
            return None
        cost = 1e3 / row.samples_per_s
        interval = find_interval(cost, list_costs(row))
    ends = () if interval is None else (interval.low, interval.high)
    return (cost, interval) if _is_positive(cost, *ends) else None


def _is_positive(*figures: float | None) -> bool:
    return all(figure is not None and 0 < figure < math.inf for figure in figures)
