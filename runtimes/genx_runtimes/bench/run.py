"""Rounds over contenders: each in its own process, in turn, so that drift hits all alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TypeVar

import msgspec

from genx_runtimes.bench.case import Case, Examination, Measurement
from genx_runtimes.bench.contender import Contender
from genx_runtimes.bench.energy import Reading, find_meters
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.footprint import describe_bundle, describe_device
from genx_runtimes.bench.options import MOST_TIMES, BenchOptions, choose_batches
from genx_runtimes.bench.precision import WANTED, list_unsure
from genx_runtimes.bench.ratio import add_speedups
from genx_runtimes.bench.record import BenchReport, Scenario, Settings
from genx_runtimes.bench.rows import make_row
from genx_runtimes.bench.scenarios import QUERY
from genx_runtimes.bench.tally import Tally, list_ceilings, profile_cases
from genx_runtimes.child import run_child
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError
from genx_runtimes.progress import Progress
from genx_runtimes.version import __version__

BOUNDARY = (
    "one call draws the latents of fresh samples, runs the engine and maps images to uint8 "
    "pixels; nothing is written to disk"
)
_SEED = 0
_ROUND_STRIDE = 2**44  # rounds draw different samples
_IDLE_S = 1.0
_START_S = 2.0  # a guess at what a process takes to start, for the time left

_Answer = TypeVar("_Answer", Examination, Measurement)


def run_bench(
    contenders: Sequence[Contender],
    options: BenchOptions,
    *,
    progress: Progress = lambda _: None,
) -> BenchReport:
    """Measure contenders at each batch size in each scenario.

    First every contender is examined at each batch size: golden samples, and where a call's time
    goes. Then, in each round, every case runs in a new process, contenders next to one another, in
    every other round in the opposite order; where their ratio is not known to 3 % by then, they
    take up to three times as many turns. Latencies of all rounds are pooled. A case that
    crashed, hung or gave wrong samples is not tried again; its row says why. After Ctrl-C the
    report holds what was measured by then.

    Args:
        contenders: with different names for each bundle.
        options: how to measure.
        progress: told what comes next, and how long the rest will take.

    Raises:
        InputError: a batch size that a bundle does not have, or two that cannot be told apart.
    """
    _check_names(contenders)
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    tallies = list(_list_cases(contenders, options))
    idle_w, reasons = _measure_idle() if options.examine else ({}, [])
    clock = _TimeLeft(options)
    complete = True
    ceilings: tuple[Ceiling, ...] = ()
    try:
        if options.examine:
            _examine(tallies, options, progress)
            ceilings = list_ceilings(tallies, progress)
            profile_cases(tallies, options.allow_fallback, progress)
        plan = _list_turns(tallies, options)
        for place, (turn, tally) in enumerate(plan):
            if not tally.failure:
                left = sum(not t.failure for _, t in plan[place:])
                progress(f"round {turn + 1} of {options.rounds}: {tally.title}{clock.say(left)}")
                _measure(tally, options, turn)
        _measure_unsure(tallies, options, progress)
    except KeyboardInterrupt:
        complete = False
        reasons.append("interrupted: these are the figures by then")
        tallies = [t for t in tallies if t.rounds or t.failure]
    rows = add_speedups(
        [
            make_row(tally, idle_w=idle_w, min_count=options.min_count, ceilings=ceilings)
            for tally in tallies
        ]
    )
    bundles = {c.bundle.digest: c.bundle for c in contenders}
    return BenchReport(
        created=created,
        complete=complete,
        device=describe_device(),
        bundles=tuple(describe_bundle(bundle) for bundle in bundles.values()),
        settings=Settings(
            scenarios=options.scenarios,
            batches=options.batches or (),
            rounds=options.rounds,
            min_duration_s=options.min_duration_s,
            min_count=options.min_count,
            latency_bound_ms=options.latency_bound_ms,
            seed=_SEED,
            boundary=BOUNDARY,
        ),
        verdict="noisy" if any(row.verdict == "noisy" for row in rows) else "valid",
        reasons=tuple(reasons),
        versions={"genx": __version__, "python": ".".join(map(str, sys.version_info[:3]))},
        ceilings=ceilings,
        rows=rows,
    )


def _check_names(contenders: Sequence[Contender]) -> None:
    """Refuse what a report could not tell apart."""
    known: dict[str, str] = {}
    seen: set[tuple[str, str, tuple[int, ...] | None]] = set()
    for contender in contenders:
        bundle = contender.bundle
        name = bundle.manifest.name
        if known.setdefault(name, bundle.digest) != bundle.digest:
            raise InputError(
                f"two bundles are called {name!r}, {bundle.path} is the second",
                fix="measure them apart and compare: genx compare A.json B.json",
            )
        key = (name, contender.name, contender.batches)
        if key in seen:
            raise InputError(f"{contender.name} of {name!r} is to be measured twice")
        seen.add(key)


def _list_cases(contenders: Sequence[Contender], options: BenchOptions) -> Iterator[Tally]:
    """List what is measured, contenders of one scenario and batch size next to one another."""
    threads = options.threads or count_usable_cores()
    batches = [
        c.batches or choose_batches(options.batches, c.bundle.manifest.batch) for c in contenders
    ]
    sizes = sorted({batch for some in batches for batch in some})
    for scenario in options.scenarios:
        for batch in sizes:
            for contender, own in zip(contenders, batches, strict=True):
                if batch in own:
                    shared = contender.instances if scenario == "offline" else 1
                    tally = Tally(
                        contender=contender,
                        scenario=scenario,
                        batch=batch,
                        threads=contender.threads or max(1, threads // shared),
                    )
                    tally.failure = _find_misfit(scenario, batch, contender)
                    yield tally


def _list_turns(tallies: Sequence[Tally], options: BenchOptions) -> list[tuple[int, Tally]]:
    """List what is measured in which round: there and back, so that a steady drift cancels."""
    return [
        (turn, tally)
        for turn in range(options.rounds)
        for tally in (tallies[::-1] if turn % 2 else tallies)
        if turn < options.count_rounds(tally.scenario)
    ]


def _find_misfit(scenario: Scenario, batch: int, contender: Contender) -> str:
    """Say why a scenario cannot be run at a batch size; empty where it can."""
    smallest = contender.bundle.manifest.batch.min
    if scenario == "multi-stream" and (min(batch, QUERY) < smallest or QUERY % smallest):
        return f"a query of {QUERY} samples does not fit batches of at least {smallest}"
    if scenario == "server" and smallest > 1:
        return f"a query of one sample is below the bundle's smallest batch, {smallest}"
    return ""


def _examine(tallies: Sequence[Tally], options: BenchOptions, progress: Progress) -> None:
    """Compare each contender with the golden samples once a batch size, and time its parts."""
    known: dict[tuple[str, str, int], Examination | str] = {}
    for tally in tallies:
        if tally.failure:
            continue
        contender = tally.contender
        key = (contender.bundle.digest, contender.name, tally.batch)
        if key not in known:
            progress(f"checking {contender.name}, batch {tally.batch}")
            case = replace(_make_case(tally, options, 0), examine=True)
            known[key] = _ask_worker(contender, case, options.grace_s, Examination)
        found = known[key]
        if isinstance(found, str):
            tally.failure = found
        else:
            tally.examined = found


def _measure(tally: Tally, options: BenchOptions, turn: int) -> None:
    case = replace(_make_case(tally, options, turn), spawned_ns=time.monotonic_ns())
    answer = _ask_worker(tally.contender, case, options.grace_s, Measurement)
    if isinstance(answer, str):
        tally.failure = answer
    else:
        tally.rounds.append(answer)


def _measure_unsure(tallies: Sequence[Tally], options: BenchOptions, progress: Progress) -> None:
    """Let contenders take more turns while the rounds disagree on their ratio."""
    for turn in range(options.rounds, MOST_TIMES * options.rounds):
        unsure = list_unsure(tallies)
        for tally in unsure[::-1] if turn % 2 else unsure:
            progress(f"round {turn + 1}, ratios are not known to {WANTED:.0%} yet: {tally.title}")
            _measure(tally, options, turn)


def _make_case(tally: Tally, options: BenchOptions, turn: int) -> Case:
    contender, rounds = tally.contender, options.count_rounds(tally.scenario)
    return Case(
        bundle=str(contender.bundle.path.absolute()),
        precision=contender.bundle.variant(contender.variant).name,
        backend=contender.backend,
        source=contender.source,
        batch=tally.batch,
        threads=tally.threads,
        seed=_SEED,
        start=turn * _ROUND_STRIDE,
        seconds=options.min_duration_s / rounds,
        warm_up_s=options.warm_up_s,
        scenario=tally.scenario,
        min_count=-(-options.min_count // rounds),
        instances=contender.instances if tally.scenario == "offline" else 1,
        latency_bound_ms=options.latency_bound_ms,
        allow_fallback=options.allow_fallback,
    )


def _ask_worker(
    contender: Contender, case: Case, grace_s: float, kind: type[_Answer]
) -> _Answer | str:
    """Run one case; return what it answered, or why it did not."""
    outcome = run_child(
        (sys.executable, "-m", contender.module),
        data=msgspec.json.encode(case),
        timeout_s=case.warm_up_s + 3 * case.seconds + grace_s,
    )
    if outcome.failure:
        return outcome.failure
    try:
        return msgspec.json.decode(outcome.output, type=kind)
    except msgspec.MsgspecError as err:
        return f"{contender.module} answered no measurement: {err}"


def _measure_idle() -> tuple[dict[str, float], list[str]]:
    """Return the watts of each meter while nothing runs, and why there are none."""
    meters, reason = find_meters()
    if not meters:
        return {}, [reason]
    reading = Reading(meters)
    start = time.monotonic()
    time.sleep(_IDLE_S)
    joules = reading.stop()
    passed = time.monotonic() - start
    return {name: value / passed for name, value in joules.items()}, reading.reasons


class _TimeLeft:
    """How long the rounds will take: as planned at first, then as the cases before did."""

    def __init__(self, options: BenchOptions) -> None:
        self._each_s = _START_S + options.warm_up_s / 2 + options.min_duration_s / options.rounds
        self._asked = 0
        self._start = 0.0

    def say(self, left: int) -> str:
        """Return `; about 3 min left`, before each case of which `left` are left with this one."""
        now = time.monotonic()
        if self._asked:
            self._each_s = (now - self._start) / self._asked
        else:
            self._start = now
        self._asked += 1
        seconds = left * self._each_s
        told = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"; about {told} left"
