"""The search for the fastest way to run a bundle: halving, finals, and the choice.

Every measurement is a process of its own: an engine flips between speeds from one process to the
next, so that many short ones say more than a long one. What is chosen replaces the default session
only where the final rounds say so clearly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from genx_runtimes.bundle import Bundle
from genx_runtimes.progress import Progress
from genx_runtimes.tuning.candidates import find_shortfall, list_first, list_variations
from genx_runtimes.tuning.engines import describe_machine
from genx_runtimes.tuning.finals import FINALISTS, beats, decide
from genx_runtimes.tuning.halving import NOT_TRIED, halve
from genx_runtimes.tuning.record import Tuning
from genx_runtimes.tuning.request import Request
from genx_runtimes.tuning.runner import Clock, Runner
from genx_runtimes.tuning.trial import Measure, Trial, measure_once, sort_trials

# The finals have the rest of the budget.
_HALVING_SHARE = 0.5


def search(
    bundle: Bundle,
    request: Request,
    *,
    progress: Progress = lambda _: None,
    measure: Measure = measure_once,
    clock: Clock = time.monotonic,
) -> Tuning:
    """Find the fastest way to run a bundle.

    After Ctrl-C the result holds what was known by then.

    Args:
        bundle: what to run.
        request: what is searched, and within which bounds.
        progress: told what comes next, and how long the rest may take.
        measure: measures a candidate once.
        clock: seconds from any origin.

    Raises:
        InputError: a variant that the bundle does not have.
    """
    runner = Runner(bundle, request, progress, measure, clock)
    trials = [Trial(candidate=candidate) for candidate in list_first(bundle, request)]
    exact = bundle.manifest.variants[0].name
    for trial in trials:
        name = trial.candidate.variant
        trial.failure = find_shortfall(
            bundle.variant(name), request.min_psnr_db, is_exact=name == exact
        )
    default = trials[0]
    is_complete, in_time = True, False
    try:
        ranked = halve(
            runner,
            trials,
            list_variations(request),
            default=default,
            enough=2 * FINALISTS,
            until_s=request.budget_s * _HALVING_SHARE,
        )
        in_time = decide(runner, ranked, default=default)
    except KeyboardInterrupt:
        is_complete = False
    measured = sum(len(trial.p50s_ms) for trial in trials)
    return Tuning(
        digest=bundle.digest,
        goal=request.goal,
        batches=request.batches,
        machine=describe_machine(),
        precision=request.precision,
        threads=request.threads,
        min_psnr_db=request.min_psnr_db,
        max_memory=request.max_memory,
        spent_s=runner.spent_s,
        complete=is_complete,
        in_time=in_time and not any(trial.note == NOT_TRIED for trial in trials),
        noisy=sum(trial.noisy for trial in trials) * 2 > measured,
        combinations=tuple(trial.describe(default) for trial in _order(trials, default)),
    )


def _order(trials: Sequence[Trial], default: Trial) -> list[Trial]:
    """Return what is chosen first: the default, unless another is clearly faster; then by cost."""
    ranked = sort_trials(trials)
    better = [trial for trial in ranked if beats(trial, default)]
    chosen = better[0] if better else default
    if default.failure:
        chosen = next((t for t in ranked if t.is_checked and not t.failure), default)
    return [chosen, *(trial for trial in ranked if trial is not chosen)]
