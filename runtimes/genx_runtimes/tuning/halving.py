"""All candidates in a few short processes, the better half in more of them, and so on.

Threads, splits and batch sizes are varied of the better half alone. A candidate is judged by its
best process: what disturbs a machine makes a process slower, never faster, and one that was
disturbed here must not throw a candidate out.

Source: Z. Karnin, T. Koren and O. Somekh, "Almost Optimal Exploration in Multi-Armed Bandits" (ICML
2013), algorithm 1; K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization" (AISTATS 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.tuning.candidates import Vary
from genx_runtimes.tuning.runner import Runner
from genx_runtimes.tuning.trial import Trial, sort_trials

_SECONDS = 0.2
_FEWEST = 2  # processes of each
_HOPELESS = 3.0  # no disturbance that leaves the others alone makes that of it
NOT_TRIED = "not tried: the budget was spent"


def halve(
    runner: Runner,
    trials: list[Trial],
    variations: Sequence[Vary],
    *,
    default: Trial,
    enough: int,
    until_s: float,
) -> list[Trial]:
    """Return what may come into the finals, the better first, the default not among it.

    Args:
        runner: measures.
        trials: the first candidates; their variations are added.
        variations: to make of the better half, one after another.
        default: measured in every round.
        enough: so few need not be halved.
        until_s: seconds from the start after which nothing is measured here, except the default
            once.
    """
    alive, turn = list(trials), 0
    waiting = list(variations)
    while True:
        turn += 1
        _screen(runner, alive, default, until_s)
        _screen(runner, [t for t in alive if len(t.screened) < _FEWEST], default, until_s)
        rivals = _list_rivals(alive, default)
        if runner.spent_s >= until_s or (not waiting and len(rivals) <= enough):
            others = [t for t in _list_rivals(trials, default) if t not in rivals]
            return [*rivals, *others]
        kept = rivals[: -(-len(rivals) // 2)] if len(rivals) > 1 else rivals
        for trial in rivals[len(kept) :]:
            trial.note = f"slower than half of the others in round {turn}"
        alive = [default, *kept]
        if waiting:
            fresh = _vary(waiting.pop(0), alive, trials)
            trials += fresh
            alive += fresh


def _screen(runner: Runner, trials: Sequence[Trial], default: Trial, until_s: float) -> None:
    """Measure each that has a chance once, the default whatever the time."""
    bound = _HOPELESS * min((t.cost for t in trials), default=0.0)
    for trial in trials:
        if trial.failure or (trial.screened and trial.cost > bound):
            continue
        is_first = trial is default and not trial.screened
        if is_first or runner.spent_s < until_s:
            stage = f"trying {len(trials)} ways"
            runner.run(trial, seconds=_SECONDS, stage=stage, is_default=trial is default)
        elif not trial.screened:
            trial.note = NOT_TRIED


def _list_rivals(trials: Sequence[Trial], default: Trial) -> list[Trial]:
    ranked = sort_trials(trials)
    return [t for t in ranked if t is not default and t.screened and not t.failure]


def _vary(vary: Vary, parents: Sequence[Trial], known: Sequence[Trial]) -> list[Trial]:
    """Return the variations of what has not failed that were not tried yet."""
    tried = {trial.candidate for trial in known}
    made = [c for parent in parents if not parent.failure for c in vary(parent.candidate)]
    return [
        Trial(candidate=candidate) for candidate in dict.fromkeys(made) if candidate not in tried
    ]
