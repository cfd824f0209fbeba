"""Rounds over contenders: each in its own process, in turn, so that drift hits all alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from genx_runtimes.bench.case import Examination
from genx_runtimes.bench.contender import Contender
from genx_runtimes.bench.energy import Meter, Reading, find_meters
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.footprint import describe_bundle, describe_device
from genx_runtimes.bench.options import MOST_TIMES, BenchOptions, choose_batches
from genx_runtimes.bench.precision import WANTED, is_sure
from genx_runtimes.bench.ratio import add_speedups
from genx_runtimes.bench.record import BenchReport, Scenario, Settings
from genx_runtimes.bench.rounds import SEED, examine, measure, split_group
from genx_runtimes.bench.rows import make_row
from genx_runtimes.bench.scenarios import QUERY
from genx_runtimes.bench.tally import (
    Tally,
    list_ceilings,
    list_groups,
    name_party,
    profile_cases,
)
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError
from genx_runtimes.progress import Progress
from genx_runtimes.version import __version__

BOUNDARY = (
    "one call draws the latents of fresh samples, runs the engine and maps images to uint8 "
    "pixels; nothing is written to disk"
)
_IDLE_S = 1.0
_START_S = 2.0  # a guess at what a process takes to start, for the time left

# Cases that are alive at the same time, and all cases that are compared with one another.
Party = list[Tally]
Group = list[Party]


def run_bench(
    contenders: Sequence[Contender],
    options: BenchOptions,
    *,
    progress: Progress = lambda _: None,
) -> BenchReport:
    """Measure contenders at each batch size in each scenario.

    First every contender is examined at each batch size: golden samples, and where a call's time
    goes. Then, in each round, every case runs in a new process: those that are compared take turns
    of some 25 ms where they can (`split_group`), else one after another, in every other round in
    the opposite order; where their ratio is not known to 2 % by then, there are up to three times
    as many rounds. Latencies of all rounds are pooled. A case that
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
    meters, no_meters = find_meters() if options.examine else ([], "")
    idle_w, reasons = _measure_idle(meters)
    reasons += [no_meters] if no_meters else []
    complete = True
    ceilings: tuple[Ceiling, ...] = ()
    try:
        if options.examine:
            _examine(tallies, options, progress)
            ceilings = list_ceilings(tallies, progress)
            profile_cases(tallies, options.allow_fallback, progress)
        split = [split_group(group, options, meters) for group in list_groups(tallies)]
        groups = [parties for parties, _ in split]
        obstacles = dict.fromkeys(obstacle for _, obstacle in split if obstacle)
        reasons += [f"contenders ran one after another, not in turns: {o}" for o in obstacles]
        _measure_rounds(groups, options, progress)
        _measure_unsure(groups, options, progress)
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
            seed=SEED,
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
            known[key] = examine(tally, options)
        found = known[key]
        if isinstance(found, str):
            tally.failure = found
        else:
            tally.examined = found


def _measure_rounds(groups: Sequence[Group], options: BenchOptions, progress: Progress) -> None:
    clock = _TimeLeft(options)
    plan = [
        (index, party)
        for index in range(options.rounds)
        for party in _order(groups, index)
        if index < options.count_rounds(party[0].scenario)
    ]
    for place, (index, party) in enumerate(plan):
        if live := [tally for tally in party if not tally.failure]:
            left = sum(not tally.failure for _, others in plan[place:] for tally in others)
            time_left = clock.say(left, len(live))
            progress(f"round {index + 1} of {options.rounds}: {name_party(live)}{time_left}")
            measure(live, options, index)


def _measure_unsure(groups: Sequence[Group], options: BenchOptions, progress: Progress) -> None:
    """Measure more rounds while they disagree on the ratio of contenders."""
    for index in range(options.rounds, MOST_TIMES * options.rounds):
        unsure = [group for group in groups if not is_sure([t for party in group for t in party])]
        for party in _order(unsure, index):
            if live := [tally for tally in party if not tally.failure]:
                wanted = f"ratios are not known to {WANTED:.0%} yet"
                progress(f"round {index + 1}, {wanted}: {name_party(live)}")
                measure(live, options, index)


def _order(groups: Sequence[Group], index: int) -> list[Party]:
    """List who is measured after whom: there and back, so that a steady drift cancels."""
    parties = [party for group in groups for party in group]
    return [party[::-1] for party in parties[::-1]] if index % 2 else parties


def _measure_idle(meters: Sequence[Meter]) -> tuple[dict[str, float], list[str]]:
    """Return the watts of each meter while nothing runs, and why some have none."""
    reading = Reading(meters)
    start = time.monotonic()
    with reading.count():
        time.sleep(_IDLE_S if meters else 0)
    passed = time.monotonic() - start
    return {name: joules / passed for name, joules in reading.joules.items()}, reading.reasons


class _TimeLeft:
    """How long the rounds will take: as planned at first, then as the cases before did."""

    def __init__(self, options: BenchOptions) -> None:
        self._each_s = _START_S + options.warm_up_s / 2 + options.min_duration_s / options.rounds
        self._asked = 0
        self._start = time.monotonic()

    def say(self, left: int, now: int) -> str:
        """Return `; about 3 min left`, before `now` cases of `left` that are left."""
        passed = time.monotonic() - self._start
        if self._asked:
            self._each_s = passed / self._asked
        self._asked += now
        seconds = left * self._each_s
        told = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"; about {told} left"
