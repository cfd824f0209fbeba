"""What a tuning is asked for, checked before anything starts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from genx_runtimes.errors import InputError, suggest

Goal = Literal["latency", "throughput"]
BUDGET_S = 60.0
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is searched.

    Args:
        goal: the shortest call, or the most samples a second.
        batches: samples a call: one for `latency`; those to choose from for `throughput`.
        precision: the only variant to consider; None takes all.
        threads: the only thread count of a session to consider; None tries several.
        min_psnr_db: quality floor; None takes every variant of the bundle.
        max_memory: the most resident bytes that a process may take; None is no bound.
        budget_s: seconds that the search may take, though the default session is always measured.
    """

    goal: Goal = "latency"
    batches: tuple[int, ...]
    precision: str | None = None
    threads: int | None = None
    min_psnr_db: float | None = None
    max_memory: int | None = None
    budget_s: float = BUDGET_S

    def __post_init__(self) -> None:
        if not 0 < self.budget_s < math.inf:
            raise InputError(f"budget is {self.budget_s}, expected seconds above 0")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads is {self.threads}, expected 1 or more")
        if self.min_psnr_db is not None and not math.isfinite(self.min_psnr_db):
            raise InputError(f"min-psnr is {self.min_psnr_db}, expected decibels")


def parse_goal(text: str) -> Goal:
    """Parse `latency` or `throughput`.

    Raises:
        InputError: it is neither.
    """
    goals: tuple[Goal, ...] = get_args(Goal)
    for goal in goals:
        if goal == text:
            return goal
    raise InputError(f"--for {text!r} is no goal", fix=suggest(text, goals))


def parse_budget(text: str) -> float:
    """Parse `60s`, `2m` or `90`; returns seconds.

    Raises:
        InputError: not a time.
    """
    return _parse("--budget", text, _SECONDS, "s", example="60s")


def parse_memory(text: str) -> int:
    """Parse `500MB`, `2GB` or `512MiB`; returns bytes.

    Raises:
        InputError: not a size; a number without a unit is not one.
    """
    return int(_parse("--max-memory", text, _BYTES, "", example="500MB"))


def _parse(flag: str, text: str, units: dict[str, int], usual: str, *, example: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    names = {name.lower(): factor for name, factor in units.items()}
    factor = names.get((match[2] or usual).lower()) if match else None
    if match is None or factor is None or not float(match[1]):
        raise InputError(f"{flag} {text!r} is not understood", fix=f"{flag} {example}")
    return float(match[1]) * factor
