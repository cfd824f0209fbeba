"""The last few in turn with the default, until it is clear which is faster.

Each must draw the golden samples before it takes part.
"""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.tuning.judge import is_clearly_faster
from genx_runtimes.tuning.runner import Runner
from genx_runtimes.tuning.trial import Trial, sort_trials

FINALISTS = 3  # beside the default
MAX_ROUNDS = 9
_FEWEST_ROUNDS = 3
# So many tell those that are faster than the default from one another well enough.
_ENOUGH_ROUNDS = 5
_SECONDS = 0.4


def decide(runner: Runner, ranked: Sequence[Trial], *, default: Trial) -> bool:
    """Run the finals; False where the budget ended before they did.

    Args:
        runner: measures.
        ranked: what may take part, the better first.
        default: takes part whatever it is.
    """
    racing = _admit(runner, ranked, default)
    if not racing:
        return all(trial.failure for trial in ranked)
    for turn in range(1, MAX_ROUNDS):
        if turn >= _FEWEST_ROUNDS:
            racing = _drop_slower(racing, default)
        if not racing or _is_settled(racing, default, turn):
            return True
        field = _list_running(racing, default)
        if not runner.fits(field):
            return False
        shift = turn % len(field)  # nobody always runs after the same
        for trial in (*field[shift:], *field[:shift]):
            runner.run(
                trial,
                seconds=_SECONDS,
                stage=f"round {turn + 1} of at most {MAX_ROUNDS}",
                is_default=trial is default,
                turn=turn,
            )
        racing = [t for t in racing if not t.failure]
    return True


def beats(trial: Trial, default: Trial) -> bool:
    """Whether a trial drew the golden samples and is clearly faster than the default."""
    is_fit = trial.is_checked and not trial.failure and trial is not default
    return is_fit and is_clearly_faster(trial.finals, default.finals)


def _admit(runner: Runner, ranked: Sequence[Trial], default: Trial) -> list[Trial]:
    """Check the default and the best in the first round; return those that may go on."""
    racing: list[Trial] = []
    for trial in (default, *ranked):
        if trial.failure:
            continue
        if not _has_time(runner, trial, racing, default):
            break
        runner.run(
            trial,
            seconds=_SECONDS,
            stage="comparing with the golden samples",
            is_default=trial is default,
            turn=0,
            examine=True,
        )
        if trial is not default and not trial.failure:
            racing.append(trial)
        if len(racing) == FINALISTS:
            break
    return racing


def _has_time(runner: Runner, trial: Trial, racing: Sequence[Trial], default: Trial) -> bool:
    """Whether a trial may be checked; after the first rival only where that leaves enough rounds.

    Without a default something must be checked that can be chosen.
    """
    if not racing:
        return bool(default.failure) or runner.fits([trial])
    field = [*_list_running(racing, default), trial]
    return runner.fits([trial, trial, *field * (_FEWEST_ROUNDS - 1)])


def _list_running(racing: Sequence[Trial], default: Trial) -> list[Trial]:
    return [*racing] if default.failure else [default, *racing]


def _drop_slower(racing: Sequence[Trial], default: Trial) -> list[Trial]:
    """Return what nothing else is clearly faster than."""
    field = _list_running(racing, default)
    kept = []
    for trial in racing:
        faster = [t for t in field if is_clearly_faster(t.finals, trial.finals)]
        if faster:
            best = sort_trials(faster)[0]
            trial.note = f"{trial.cost / best.cost:.2f} x the time of {best.candidate.name}"
        else:
            kept.append(trial)
    return kept


def _is_settled(racing: Sequence[Trial], default: Trial, rounds: int) -> bool:
    """Whether the best of those left is clearly faster than the default, and known as the best."""
    best = sort_trials(racing)[0]
    is_known = len(racing) == 1 or rounds >= _ENOUGH_ROUNDS
    return is_known and (bool(default.failure) or beats(best, default))
