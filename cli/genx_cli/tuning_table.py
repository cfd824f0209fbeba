"""What `genx tune` found, for people, and what to run next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genx_cli.sink import Sink
    from genx_runtimes.manifest import Manifest
    from genx_runtimes.tuning import Combination, Goal, Tuning


def tell_tuning(sink: Sink, tuning: Tuning) -> None:
    """Show all that was tried, why it was left, and what was chosen."""
    figure = "ms a call" if tuning.goal == "latency" else "samples/s"
    columns = ("engine and variant", "threads", "batch", figure, "vs default", "rounds", "MB", "")
    best = tuning.combinations[0] if tuning.has_run else None
    notes = ["*" if c is best else c.failure or c.note for c in tuning.combinations]
    width = max(map(len, notes), default=0)
    rows = [
        (*_cells(found, tuning.goal), note.ljust(width))
        for found, note in zip(tuning.combinations, notes, strict=True)
    ]
    sink.table(columns, rows)
    if best is not None:
        sink.say(f"  fastest: {tuning.explain()}")
    if tuning.remembered:
        sink.say("  not searched now; --again searches anew")
    if tuning.noisy:
        sink.warn(
            "other programs used the machine meanwhile; tune again on a quiet one with --again"
        )
    if tuning.complete and not tuning.in_time:
        sink.warn("the budget was spent before all was tried; a longer --budget may find more")


def suggest_next(bundle: Path, manifest: Manifest, tunings: Sequence[Tuning]) -> str:
    """Return the command that uses what was found."""
    from genx_cli.next_steps import suggest_sampling

    first = tunings[0]
    best = first.best
    if first.goal == "throughput":
        flags = {
            "--backend": best.backend,
            "--precision": best.variant,
            "--threads": best.threads,
            "--instances": best.instances,
            "--batch": best.batch,
        }
        given = [str(word) for flag in flags.items() for word in flag]
        return shlex.join(["genx", "bench", str(bundle), "--scenario", "offline", *given])
    flags = {"--backend": "auto"}
    if first.precision is not None:
        flags["--precision"] = first.precision
    if first.threads is not None:
        flags["--threads"] = first.threads
    sizes = [tuning.best.batch for tuning in tunings]
    if manifest.batch.usual not in sizes:
        flags["--batch"] = sizes[-1]
    given = [str(word) for flag in flags.items() for word in flag]
    return f"{suggest_sampling(bundle, manifest)} {shlex.join(given)}"


def _cells(found: Combination, goal: Goal) -> tuple[str, ...]:
    value = found.p50_ms if goal == "latency" else found.samples_per_s
    threads = f"{found.instances} x {found.threads}" if found.instances > 1 else str(found.threads)
    digits = 3 if goal == "latency" else 0
    versus = "default" if found.is_default else f"{found.gain:.2f} x" if found.gain else "-"
    return (
        f"{found.backend} {found.variant}",
        threads,
        str(found.batch),
        "-" if value is None else f"{value:,.{digits}f}",
        versus,
        str(found.rounds) if found.rounds else "-",
        "-" if found.peak_bytes is None else f"{found.peak_bytes / 1e6:.0f}",
    )
