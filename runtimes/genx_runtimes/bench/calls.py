"""A sampling loop by its calls: `python -m genx_runtimes.bench.calls`, otherwise like `worker`.

A loop makes a few kinds of calls again and again: 20 of a denoiser, or one of a graph for each of
14 rows and 14 of another along each. Which variant is the fastest is told by the least number of
calls that has each kind in its share, one of the denoiser, or one and 14: the whole loop takes so
many times longer to time, and says the same. What the host does between calls is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from genx_runtimes.bench.case import Case
from genx_runtimes.bench.worker import Prepared, serve
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import TensorSpec
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions, take_last
from genx_runtimes.session import Array, Closing, SessionOptions


@dataclass(slots=True, kw_only=True)
class LoopCall:
    """A kind of call that a loop makes: of one component, with so many rows.

    Args:
        component: what is called.
        feeds: what it is given the first time, (rows, ...).
        times: how often a pass makes it.
    """

    component: str
    feeds: Mapping[str, Array]
    times: int = 1


class _Counter(Closing):
    """Stands in for a loaded graph: notes what it is given, and answers with golden outputs."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, component: str, golden: Mapping[str, Array]) -> None:
        self.calls: dict[int, LoopCall] = {}
        self._component = component
        start = f"{component}/out/"
        self._golden = {n[len(start) :]: a for n, a in golden.items() if n.startswith(start)}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        rows = len(next(iter(feeds.values())))
        if rows in self.calls:
            self.calls[rows].times += 1
        else:  # a loop writes to what it passes on
            kept = {name: array.copy() for name, array in feeds.items()}
            self.calls[rows] = LoopCall(component=self._component, feeds=kept)
        return {name: np.resize(a, (rows, *a.shape[1:])) for name, a in self._golden.items()}

    def close(self) -> None:
        """Nothing is held."""


def list_calls(bundle: Bundle, batch: int) -> tuple[list[LoopCall], int]:
    """Return the least calls that have each kind in its share, and how often a pass has them all.

    No graph runs: the loop is given golden outputs.

    Args:
        bundle: whose sampler is a loop.
        batch: samples a pass.
    """
    manifest, golden = bundle.manifest, bundle.golden()
    counters = {name: _Counter(name, golden) for name in manifest.sampler.components}
    feeds = LatentSource(manifest.priors, manifest.golden.seed).draw(range(batch))
    draw = Draw(seed=manifest.golden.seed, indices=range(batch), feeds=feeds)
    loop = find_sampler(manifest.sampler.kind)
    take_last(loop.steps(LoopModel.of(manifest, counters), draw, SamplingOptions()))
    calls = [call for counter in counters.values() for call in counter.calls.values()]
    share = math.gcd(*(call.times for call in calls))
    for call in calls:
        call.times //= share
    return calls, share


@contextmanager
def prepare_calls(case: Case) -> Iterator[Prepared]:
    """Load a bundle; what is timed is `list_calls`, one after another."""
    bundle = open_bundle(case.bundle)
    calls, _ = list_calls(bundle, case.batch)
    with bundle.sampler(
        backend=case.backend,
        precision=case.precision,
        options=SessionOptions(threads=case.threads),
        batch=case.batch,
    ) as sampler:

        def run() -> None:
            for call in calls:
                session = sampler.sessions[call.component]
                for _ in range(call.times):
                    session.run(call.feeds)

        yield Prepared(draw=lambda _: run(), versions={})


if __name__ == "__main__":
    serve(prepare_calls)
