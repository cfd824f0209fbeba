"""What a benchmark found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genx_runtimes.bench.measure import Latency

BOUNDARY = (
    "one call draws the latents of fresh samples, runs the engine and maps images to uint8 "
    "pixels; nothing is written to disk"
)

# A quiet machine shows well below one per cent.
_DISTURBING = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contender at one batch size.

    Args:
        contender: its name.
        batch: samples a call.
        latency: what was measured, over all rounds; None if it failed.
        stable: whether the warm-up settled in every round.
        spread: the largest distance of the last windows' medians in any round, relative.
        waiting: part of the time that threads waited for a core that others used, in the worst
            round; None where the system does not say.
        failure: why there is no latency; empty if there is one.
        notes: where it ran, if not where asked.
    """

    contender: str
    batch: int
    latency: Latency | None
    stable: bool
    spread: float
    waiting: float | None = None
    failure: str = ""
    notes: tuple[str, ...] = ()

    @property
    def disturbed(self) -> bool:
        """Whether other programs took so much of the cores that the figures say little."""
        return (self.waiting or 0.0) > _DISTURBING


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """All figures of a benchmark, and what they were measured on.

    Args:
        bundle: the bundle's name.
        digest: SHA-256 of its manifest.
        variant: the variant that genx ran.
        cpu: the CPU's model name.
        cores: usable cores.
        threads: engine threads of every contender.
        rounds: how often the contenders took turns.
        min_duration_s: timed seconds for each contender and batch size, over all rounds.
        boundary: what one call holds.
        versions: of what ran.
        rows: contenders and batch sizes.
    """

    bundle: str
    digest: str
    variant: str
    cpu: str
    cores: int
    threads: int
    rounds: int
    min_duration_s: float
    boundary: str
    versions: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows without figures."""
        return tuple(row for row in self.rows if row.latency is None)

    def speedup(self, row: Row, reference: str) -> float | None:
        """Return p50 of the contender `reference` at the same batch size over p50 of `row`."""
        for other in self.rows:
            if (other.contender, other.batch) == (reference, row.batch):
                if other.latency is None or row.latency is None:
                    return None
                return other.latency.p50_ms / row.latency.p50_ms
        return None
