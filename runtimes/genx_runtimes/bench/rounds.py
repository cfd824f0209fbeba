"""One round of a case, or of several that take turns: what workers are asked, what they answer."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from genx_runtimes.bench.case import Case, Examination, Measurement
from genx_runtimes.bench.energy import Meter
from genx_runtimes.bench.figures import Conditions
from genx_runtimes.bench.options import BenchOptions
from genx_runtimes.bench.tally import Tally
from genx_runtimes.bench.turns import SLICE_S, run_in_turns
from genx_runtimes.child import Outcome, read_answer, run_child
from genx_runtimes.memory import read_available_bytes

SEED = 0
_ROUND_STRIDE = 2**44  # rounds draw different samples
_MEMORY_SHARE = 0.5  # of what is free

_Answer = TypeVar("_Answer", Examination, Measurement)


def split_group(
    group: Sequence[Tally], options: BenchOptions, meters: Sequence[Meter]
) -> tuple[list[list[Tally]], str]:
    """Return which of the cases that are compared are alive at the same time: all, or none.

    They are in `single-stream` and `multi-stream`, where nothing stands in the way. Those that have
    failed are left out.

    Args:
        group: of one bundle, batch size and scenario.
        options: how to measure.
        meters: of this machine.

    Returns:
        the cases, those together that are; and what stands in the way, where it is not the
        scenario and there is more than one.
    """
    live = [tally for tally in group if not tally.failure]
    # In `offline` an engine may compute ahead, while others are on.
    may = len(live) > 1 and live[0].scenario in ("single-stream", "multi-stream")
    obstacle = _find_obstacle(live, options, meters) if may else ""
    return [live] if may and not obstacle else [[tally] for tally in live], obstacle


def _find_obstacle(live: Sequence[Tally], options: BenchOptions, meters: Sequence[Meter]) -> str:
    if not all(tally.contender.runs_on_cpu for tally in live):
        return "not all of them run on the CPU"
    if options.min_duration_s / options.rounds < 2 * SLICE_S:
        return f"rounds are shorter than two turns of {SLICE_S * 1e3:g} ms"
    if slow := [meter.name for meter in meters if not meter.keeps_up]:
        return f"energy is averaged over longer than a turn by {', '.join(slow)}"
    if not hasattr(signal, "SIGSTOP"):
        return "this system cannot stop a process"
    return _find_lack(live)


def _find_lack(live: Sequence[Tally]) -> str:
    """Say that there is too little memory for all at once; empty where there is enough."""
    peaks = [t.examined.peak_bytes if t.examined else None for t in live]
    free = read_available_bytes()
    known = [peak for peak in peaks if peak is not None]
    if free is None or len(known) < len(peaks):
        return "how much memory they take, or there is, is not known"
    if sum(known) > _MEMORY_SHARE * free:
        return (
            f"together they take {sum(known) / 1e9:.2g} GB, more than half of the "
            f"{free / 1e9:.2g} GB that are free"
        )
    return ""


def examine(tally: Tally, options: BenchOptions) -> Examination | str:
    """Compare a contender with the golden samples, and time the parts of a call."""
    case = replace(_make_case(tally, options, 0), examine=True)
    return _read(tally, _run_alone(tally, case, options), Examination)


def measure(party: Sequence[Tally], options: BenchOptions, index: int) -> None:
    """Measure a case, or several in turn, in the round `index`, and note it in the tallies."""
    cases = [_make_case(tally, options, index) for tally in party]
    shared: Conditions | None = None
    if len(party) == 1:
        outcomes = [_run_alone(party[0], cases[0], options)]
    else:
        asked = [(t.contender.module, case) for t, case in zip(party, cases, strict=True)]
        outcomes, shared = run_in_turns(asked, grace_s=options.grace_s)
    for tally, outcome in zip(party, outcomes, strict=True):
        answer = _read(tally, outcome, Measurement)
        if isinstance(answer, str):
            tally.failure = answer
            continue
        if shared and answer.conditions:
            waiting = answer.conditions.waiting
            found = msgspec.structs.replace(shared, waiting=waiting)
            answer = replace(answer, conditions=found)
        tally.rounds.append(answer)


def _make_case(tally: Tally, options: BenchOptions, index: int) -> Case:
    contender, rounds = tally.contender, options.count_rounds(tally.scenario)
    return Case(
        bundle=str(contender.bundle.path.absolute()),
        precision=contender.bundle.variant(contender.variant).name,
        backend=contender.backend,
        source=contender.source,
        batch=tally.batch,
        threads=tally.threads,
        seed=SEED,
        start=index * _ROUND_STRIDE,
        seconds=options.min_duration_s / rounds,
        warm_up_s=options.warm_up_s,
        scenario=tally.scenario,
        min_count=-(-options.min_count // rounds),
        instances=contender.instances if tally.scenario == "offline" else 1,
        latency_bound_ms=options.latency_bound_ms,
        allow_fallback=options.allow_fallback,
    )


def _run_alone(tally: Tally, case: Case, options: BenchOptions) -> Outcome:
    return run_child(
        (sys.executable, "-m", tally.contender.module),
        data=msgspec.json.encode(replace(case, spawned_ns=time.monotonic_ns())),
        timeout_s=case.warm_up_s + 3 * case.seconds + options.grace_s,
    )


def _read(tally: Tally, outcome: Outcome, kind: type[_Answer]) -> _Answer | str:
    return read_answer(outcome, kind, missing=f"{tally.contender.module} answered no measurement")
