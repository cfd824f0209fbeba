"""From measurements of all rounds to a row of the report, and whether it can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from genx_runtimes.bench.case import Examination, Measurement
from genx_runtimes.bench.conditions import take_worst
from genx_runtimes.bench.contender import Contender
from genx_runtimes.bench.figures import (
    Ceiling,
    ColdStart,
    Conditions,
    Energy,
    Latency,
    Limit,
    Memory,
    Metric,
)
from genx_runtimes.bench.footprint import measure_graphs, measure_installed, measure_size
from genx_runtimes.bench.limit import choose_ceiling, find_limit, list_rates
from genx_runtimes.bench.quality import find_psnr
from genx_runtimes.bench.record import Row, Verdict
from genx_runtimes.bench.statistics import describe, make_histogram
from genx_runtimes.bench.tally import Tally

# A quiet machine shows well below one per cent of waiting.
_WAITING = 0.05
_OTHERS = 0.05
_STOLEN = 0.02
_ROUNDS_APART = 0.10
_SLOWER_CLOCK = 0.10


def make_row(
    tally: Tally, *, idle_w: dict[str, float], min_count: int, ceilings: Sequence[Ceiling] = ()
) -> Row:
    """Return the row of what was measured.

    Args:
        tally: of all rounds.
        idle_w: watts of each meter before the timing.
        min_count: calls wanted over all rounds.
        ceilings: of the machine.
    """
    contender = tally.contender
    variant = contender.bundle.variant(contender.variant)
    head = Row(
        bundle=contender.bundle.manifest.name,
        contender=contender.name,
        backend=contender.backend,
        variant=variant.name,
        precision=variant.precision,
        batch=tally.batch,
        threads=tally.threads,
        instances=tally.instances,
        scenario=tally.scenario,
        verdict="failed",
        reasons=(tally.failure or "was not measured",),
        psnr_db=find_psnr(variant) if _is_lossy(contender) else None,
    )
    if tally.failure or not tally.rounds:
        return head
    rounds = tally.rounds
    conditions = take_worst(r.conditions for r in rounds if r.conditions is not None)
    timed = [r.latencies_ns for r in rounds if r.latencies_ns]
    latency = describe(timed) if timed else None
    verdict, reasons = _judge(tally, latency, conditions, min_count)
    samples, wall = sum(r.samples for r in rounds), sum(r.wall_ns for r in rounds)
    examined = tally.examined or Examination()
    if not tally.has_parts:
        examined = Examination(steps=examined.steps)
    found = _find_limit(tally, ceilings) if tally.has_parts else ""
    if isinstance(found, str) and found:
        reasons = (*reasons, found)
    return msgspec.structs.replace(
        head,
        verdict=verdict,
        reasons=reasons,
        metric=_find_metric(tally, latency, samples / max(wall, 1) * 1e9),
        samples_per_s=samples / wall * 1e9 if wall else None,
        latency=latency,
        round_p50_ms=tally.round_p50_ms,
        round_samples_per_s=tally.round_samples_per_s,
        round_slices_ms=tally.round_slices_ms,
        histogram=make_histogram([ns for part in timed for ns in part]) if timed else None,
        step_ms=examined.step_ms,
        steps=examined.steps,
        parts=examined.parts,
        cold=_take_median([r.cold for r in rounds if r.cold is not None]),
        memory=_find_memory(contender, rounds),
        # The meters ran over the whole search of scenario `server`, not over its best probe alone.
        energy=find_energy(rounds, idle_w) if tally.scenario != "server" else None,
        conditions=conditions,
        limit=found if isinstance(found, Limit) else None,
        versions=rounds[-1].versions,
    )


def _is_lossy(contender: Contender) -> bool:
    floor = contender.bundle.variant(contender.variant).min_psnr_db
    return floor is not None and contender.backend != "torch"


def _find_limit(tally: Tally, ceilings: Sequence[Ceiling]) -> Limit | str:
    """Return the distance to the machine's limit, or why it is not known; "" if it is no matter."""
    parts = tally.examined.parts if tally.examined else None
    profile, contender = tally.profile, tally.contender
    if parts is None or not profile or isinstance(profile, str):
        return f"the distance to the limit is not known: {profile}" if profile else ""
    variant = contender.bundle.variant(contender.variant)
    ceiling = choose_ceiling(
        ceilings, backend=contender.backend, precision=variant.precision, threads=tally.threads
    )
    if isinstance(ceiling, str):
        return f"the distance to the limit is not known: {ceiling}"
    found = find_limit(
        contender.bundle.manifest,
        variant,
        profile,
        batch=tally.batch,
        engine_ms=parts.engine_ms,
        ceiling=ceiling,
        rates=list_rates(ceilings, backend=contender.backend, threads=tally.threads),
    )
    return f"the distance to the limit is not known: {found}" if isinstance(found, str) else found


def _find_metric(tally: Tally, latency: Latency | None, rate: float) -> Metric:
    if tally.scenario == "single-stream":
        return Metric(name="p90 latency", value=latency.p90_ms if latency else None, unit="ms")
    if tally.scenario == "multi-stream":
        return Metric(name="p99 latency", value=latency.p99_ms if latency else None, unit="ms")
    if tally.scenario == "offline":
        return Metric(name="throughput", value=rate, unit="1/s")
    rates = [r.rate for r in tally.rounds if r.rate is not None]
    value = float(np.median(rates)) if len(rates) == len(tally.rounds) else None
    return Metric(name="queries under the latency bound", value=value, unit="1/s")


def _judge(
    tally: Tally,
    latency: Latency | None,
    conditions: Conditions | None,
    min_count: int,
) -> tuple[Verdict, tuple[str, ...]]:
    """Return whether the figures can be believed, and why not; what disturbed weighs most."""
    notes = [note for r in tally.rounds for note in r.notes]
    notes += list_notices(conditions)
    noisy = list_disturbances(conditions)
    unstable = []
    spread = max(r.warm_up.spread for r in tally.rounds)
    if not all(r.warm_up.stable for r in tally.rounds):
        if spread:
            unstable.append(f"the warm-up never settled: medians still {spread:.0%} apart")
        else:
            notes.append("calls are too slow for the warm-up to tell whether it settled")
    medians = tally.round_p50_ms
    apart = max(medians) / min(medians) - 1 if medians else 0.0
    if apart > _ROUNDS_APART:
        unstable.append(f"the medians of the rounds are {apart:.0%} apart")
    if tally.scenario == "server" and any(r.rate is None for r in tally.rounds):
        unstable.append("no rate met the latency bound, or too few queries fitted in the time")
    elif latency is not None and latency.count < min_count and tally.scenario != "server":
        notes.append(f"only {latency.count} calls fitted in the time: tails are not told")
    verdict: Verdict = "noisy" if noisy else "unstable" if unstable else "valid"
    return verdict, tuple(dict.fromkeys((*noisy, *unstable, *notes)))


def list_disturbances(conditions: Conditions | None) -> list[str]:
    """Say what took so much of the machine that figures taken then say little."""
    if conditions is None:
        return []
    found = []
    if (conditions.waiting or 0.0) > _WAITING:
        found.append(f"threads waited {conditions.waiting:.0%} of the time for a core")
    if (conditions.others or 0.0) > _OTHERS:
        found.append(f"other programs used {conditions.others:.0%} of the cores")
    if (conditions.stolen or 0.0) > _STOLEN:
        found.append(f"the hypervisor gave {conditions.stolen:.0%} of the cores to others")
    if conditions.throttled:
        found.append("the system held the cores back: heat, power or the container's quota")
    return found


def list_notices(conditions: Conditions | None) -> list[str]:
    """Say what a reader must know of the machine, though it may be its usual way."""
    before, after = (conditions.mhz_before, conditions.mhz_after) if conditions else (None, None)
    if before is None or after is None or after >= before * (1 - _SLOWER_CLOCK):
        return []
    return [f"the clock fell from {before:.0f} to {after:.0f} MHz while it was timed"]


def _take_median(rounds: Sequence[ColdStart]) -> ColdStart | None:
    if not rounds:
        return None
    return ColdStart(
        import_s=float(np.median([r.import_s for r in rounds])),
        load_s=float(np.median([r.load_s for r in rounds])),
        first_sample_s=float(np.median([r.first_sample_s for r in rounds])),
    )


def _find_memory(contender: Contender, rounds: Sequence[Measurement]) -> Memory:
    is_genx = contender.backend != "torch"
    engines = tuple(name for name in rounds[-1].versions if name not in ("numpy", "genx"))
    return Memory(
        peak_resident=max((r.peak_bytes for r in rounds if r.peak_bytes), default=None),
        device=None,
        bundle=measure_size(contender.bundle.path),
        engine=measure_graphs(contender.bundle, contender.variant) if is_genx else None,
        installed=measure_installed("genx", *engines),
    )


def find_energy(rounds: Sequence[Measurement], idle_w: dict[str, float]) -> Energy | None:
    """Return the energy by the meter that counted most of those that always did; None without."""
    seconds, samples = sum(r.wall_ns for r in rounds) / 1e9, sum(r.samples for r in rounds)
    names = [name for name in idle_w if all(name in r.joules for r in rounds)]
    totals = {name: sum(r.joules[name] for r in rounds) for name in names}
    if not (totals and seconds and samples):
        return None
    name = max(totals, key=lambda meter: totals[meter] - idle_w[meter] * seconds)
    return Energy(
        source=name,
        joules_per_sample=(totals[name] - idle_w[name] * seconds) / samples,
        idle_w=idle_w[name],
        busy_w=totals[name] / seconds,
    )
