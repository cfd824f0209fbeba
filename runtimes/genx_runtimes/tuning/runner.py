"""Runs candidates one at a time and keeps to the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from genx_runtimes.bundle import Bundle
from genx_runtimes.progress import Progress
from genx_runtimes.tuning.request import Request
from genx_runtimes.tuning.trial import Effort, Measure, Trial

Clock = Callable[[], float]

_WARM_UP_S = 0.3
_DEFAULT_GRACE_S = 300.0  # as in a benchmark: without the default there is nothing to compare with
_SHORTEST_GRACE_S = 5.0


class Runner:
    """Measures candidates within a budget.

    Args:
        bundle: what to run.
        request: what is searched, and within which bounds.
        progress: told what comes next, and how long the rest may take.
        measure: measures a candidate once.
        clock: seconds from any origin.
    """

    def __init__(
        self, bundle: Bundle, request: Request, progress: Progress, measure: Measure, clock: Clock
    ) -> None:
        self._bundle, self._request = bundle, request
        self._progress, self._measure, self._clock = progress, measure, clock
        self._start = clock()
        self._took: dict[int, float] = {}

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left; negative when it is overdrawn."""
        return self._request.budget_s - self.spent_s

    def fits(self, trials: Iterable[Trial]) -> bool:
        """Whether measuring these once more, as long as last time, keeps to the budget."""
        return sum(self._took.get(id(trial), 0.0) for trial in trials) <= self.left_s

    def run(
        self,
        trial: Trial,
        *,
        seconds: float,
        stage: str,
        is_default: bool,
        turn: int | None = None,
        examine: bool = False,
    ) -> None:
        """Measure a candidate once; a failure is kept in the trial.

        Args:
            trial: gets what was measured.
            seconds: timed.
            stage: of the search, in words.
            is_default: whether it is waited for whatever the budget.
            turn: the final round; None before the finals.
            examine: whether it must draw the golden samples first.
        """
        left = self.left_s
        self._progress(f"{stage}: {trial.candidate.name}; at most {max(left, 0.0):.0f} s left")
        grace = _DEFAULT_GRACE_S if is_default else max(left / 2, _SHORTEST_GRACE_S)
        effort = Effort(seconds=seconds, warm_up_s=_WARM_UP_S, grace_s=grace, examine=examine)
        before = self._clock()
        row = self._measure(self._bundle, trial.candidate, self._request.goal, effort)
        if not examine:
            self._took[id(trial)] = self._clock() - before
        trial.take(row, self._request.goal, turn, self._request.max_memory)
        if examine and not trial.failure:
            trial.is_checked = True
