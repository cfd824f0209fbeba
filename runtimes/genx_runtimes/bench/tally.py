"""What has been found out about a case; ceilings and profiles are measured once for several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from genx_runtimes.backends import find_backend
from genx_runtimes.bench.case import Examination, Measurement
from genx_runtimes.bench.ceilings import ask_ceilings
from genx_runtimes.bench.contender import GENX, Contender
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.node_profile import Profile, ProfileRequest, ask_profile
from genx_runtimes.bench.record import Scenario
from genx_runtimes.progress import Progress


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been measured of one contender at one batch size in one scenario.

    Args:
        contender: what runs.
        scenario: MLPerf's word.
        batch: samples a call.
        threads: of each instance.
        rounds: what each round measured.
        examined: before the timing; None if it was not asked for.
        profile: of the engine; a text says why there is none.
        failure: why it is not measured any more; empty if it is.
    """

    contender: Contender
    scenario: Scenario
    batch: int
    threads: int
    rounds: list[Measurement] = field(default_factory=list)
    examined: Examination | None = None
    profile: Profile | str = ""
    failure: str = ""

    @property
    def title(self) -> str:
        """What is measured, as people are told it."""
        return name_party([self])

    @property
    def backend(self) -> str:
        """The engine, or `torch`."""
        return self.contender.backend

    @property
    def round_slices_ms(self) -> tuple[tuple[float, ...], ...]:
        """The median of each turn, of each round; none where a round had no turns."""
        found = tuple(
            tuple(float(np.median(turn)) / 1e6 for turn in _split(r.latencies_ns, r.slices))
            for r in self.rounds
            if r.latencies_ns
        )
        return found if any(found) else ()

    @property
    def round_p50_ms(self) -> tuple[float, ...]:
        """The median of each round, of those that timed a call."""
        return tuple(float(np.median(r.latencies_ns)) / 1e6 for r in self.rounds if r.latencies_ns)

    @property
    def round_samples_per_s(self) -> tuple[float, ...]:
        """The throughput of each round; of `server` none, its rounds run at different loads."""
        if self.scenario == "server":
            return ()
        return tuple(r.samples / max(r.wall_ns, 1) * 1e9 for r in self.rounds)

    @property
    def instances(self) -> int:
        """Sessions that share the work."""
        return self.contender.instances if self.scenario == "offline" else 1

    @property
    def has_parts(self) -> bool:
        """Whether a call is one of `batch` samples in one session, as those that are examined."""
        return self.scenario in ("single-stream", "offline") and self.instances == 1

    @property
    def is_genx(self) -> bool:
        """Whether an engine of genx runs it, of which ceilings and profiles can be had."""
        return self.contender.module == GENX and bool(find_backend(self.contender.backend).requires)


def _split(latencies: Sequence[int], counts: Sequence[int]) -> Iterator[Sequence[int]]:
    first = 0
    for count in counts:
        yield latencies[first : first + count]
        first += count


def name_party(party: Sequence[Tally]) -> str:
    """Return what is measured, of one batch size and scenario, as people are told it."""
    names = " and ".join(tally.contender.name for tally in party)
    return f"{names}, {party[0].scenario}, batch {party[0].batch}"


def list_groups(tallies: Sequence[Tally]) -> list[list[Tally]]:
    """List which cases are compared: those of one bundle, batch size and scenario."""
    groups: dict[tuple[str, int, str], list[Tally]] = {}
    for tally in tallies:
        key = (tally.contender.bundle.digest, tally.batch, tally.scenario)
        groups.setdefault(key, []).append(tally)
    return list(groups.values())


def list_ceilings(tallies: Sequence[Tally], progress: Progress) -> tuple[Ceiling, ...]:
    """Measure what the machine can do with each engine and number of threads that takes part."""
    pairs = {
        (t.contender.backend, t.threads): None
        for t in tallies
        if t.is_genx and t.has_parts and not t.failure
    }
    found: list[Ceiling] = []
    for backend, threads in pairs:
        progress(f"measuring what the machine can do: {backend}, {threads} threads")
        found += ask_ceilings(backend, threads)
    return tuple(found)


def profile_cases(tallies: Sequence[Tally], allow_fallback: bool, progress: Progress) -> None:
    """Find the calls and the heaviest nodes of each contender, once a batch size."""
    known: dict[tuple[str, str, int], Profile | str] = {}
    for tally in tallies:
        if tally.failure or not tally.is_genx or not tally.has_parts:
            continue
        contender = tally.contender
        key = (contender.bundle.digest, contender.name, tally.batch)
        if key not in known:
            progress(f"profiling {contender.name}, batch {tally.batch}")
            request = ProfileRequest(
                bundle=str(contender.bundle.path.absolute()),
                precision=contender.variant,
                backend=contender.backend,
                batch=tally.batch,
                threads=tally.threads,
                allow_fallback=allow_fallback,
            )
            known[key] = ask_profile(request)
        tally.profile = known[key]
