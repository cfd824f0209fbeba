"""What a sampling loop asks of the engine: counted while it runs, whatever the loop."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from genx_runtimes.bench.measure import Clock
from genx_runtimes.sampler import Sampler
from genx_runtimes.session import Array, Session, WrappedSession


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass of a sampling loop, which draws one batch, asks of a graph.

    Args:
        component: the graph.
        calls: of the engine.
        samples: of all these calls: more than calls times the batch size where guidance runs the
            graph with and without the condition.
        ms: in the engine, all calls together.
    """

    component: str
    calls: int
    samples: int
    ms: float


class MeteredSession(WrappedSession):
    """A session that counts its calls and their samples, and adds up their time.

    Args:
        session: what is run, one call at a time.
        clock: nanoseconds from any origin.
    """

    def __init__(self, session: Session, clock: Clock = time.perf_counter_ns) -> None:
        super().__init__(session)
        self._clock = clock
        self.calls = 0
        self.samples = 0
        self.spent_ns = 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, see `Session.run`."""
        start = self._clock()
        results = super().run(feeds)
        self.spent_ns += self._clock() - start
        self.calls += 1
        self.samples += len(next(iter(results.values())))
        return results


def meter(
    sampler: Sampler, clock: Clock = time.perf_counter_ns
) -> tuple[Sampler, dict[str, MeteredSession]]:
    """Return a sampler that draws the same, and what counts for each component."""
    sessions = {name: MeteredSession(s, clock) for name, s in sampler.sessions.items()}
    return Sampler(sampler.manifest, sessions), sessions


def subtract(before: Mapping[str, Calls], after: Mapping[str, Calls]) -> tuple[Calls, ...]:
    """Return what happened between two `take_stock`."""
    return tuple(
        Calls(
            component=name,
            calls=late.calls - before[name].calls,
            samples=late.samples - before[name].samples,
            ms=late.ms - before[name].ms,
        )
        for name, late in after.items()
    )


def take_stock(sessions: Mapping[str, MeteredSession]) -> dict[str, Calls]:
    """Return what each session has been asked for so far."""
    return {
        name: Calls(component=name, calls=s.calls, samples=s.samples, ms=s.spent_ns / 1e6)
        for name, s in sessions.items()
    }
