"""What a batch of samples asks of each graph, and which nodes take the time, in an own process.

python -m genx_runtimes.bench.node_profile < request.json > profile.json
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

from genx_runtimes.bench.answering import answer
from genx_runtimes.bench.metered import Calls, meter, subtract, take_stock
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import one_line, read_answer, run_child
from genx_runtimes.errors import GenxError
from genx_runtimes.sampler import Sampler
from genx_runtimes.session import SessionOptions, read_node_times

HEAVIEST = 10
_ENDLESS = 2**40
_SECONDS = 1.0
_MOST = 50


class ProfileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to profile: a bundle's path, and how it is loaded, as in `bench.case.Case`."""

    bundle: str
    precision: str | None
    backend: str
    batch: int
    threads: int
    allow_fallback: bool = False


class ProfiledNode(msgspec.Struct, frozen=True, kw_only=True):
    """One of the heaviest nodes of one pass of the sampling loop.

    Args:
        component: the graph.
        name: in the engine's words.
        kind: the operator.
        ms: of a pass with the samples that `Profile.calls` has, the mean.
        share: of the time of all nodes of all graphs.
        dtype: what the engine computed it in; empty where it does not tell.
        origins: see `NodeTime`.
    """

    component: str
    name: str
    kind: str
    ms: float
    share: float
    dtype: str = ""
    origins: tuple[str, ...] = ()


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass of the sampling loop, which draws one batch, takes.

    Args:
        calls: of each graph that is run, without the engine's profiler: of the pass whose time is
            the median, since texts that end early make passes of different lengths.
        nodes: the ten heaviest of all graphs, the heaviest first.
        failure: why there are no nodes; empty if there are.
    """

    calls: tuple[Calls, ...]
    nodes: tuple[ProfiledNode, ...] = ()
    failure: str = ""


def ask_profile(request: ProfileRequest, *, timeout_s: float = 300.0) -> Profile | str:
    """Profile in a new process; return why there is no profile where there is none."""
    outcome = run_child(
        (sys.executable, "-m", "genx_runtimes.bench.node_profile"),
        data=msgspec.json.encode(request),
        timeout_s=timeout_s,
    )
    return read_answer(outcome, Profile, missing="the process answered no profile")


def profile_bundle(request: ProfileRequest) -> Profile:
    """Profile in this process.

    Raises:
        GenxError: the bundle cannot be sampled as asked for.
    """
    with _open(request, profile=False) as sampler:
        calls = _time_calls(sampler, request.batch)
    try:
        with _open(request, profile=True) as sampler:
            nodes = _time_nodes(sampler, request.batch, calls)
    except GenxError as err:
        return Profile(calls=calls, failure=one_line(err))
    return Profile(calls=calls, nodes=nodes)


def _open(request: ProfileRequest, *, profile: bool) -> Sampler:
    options = SessionOptions(
        threads=request.threads, allow_fallback=request.allow_fallback, profile=profile
    )
    return open_bundle(request.bundle).sampler(
        backend=request.backend,
        precision=request.precision,
        options=options,
        batch=request.batch,
    )


def _draw(sampler: Sampler, batch: int) -> Iterator[object]:
    return sampler.sample(batch * _ENDLESS, batch=batch)


def _time_calls(sampler: Sampler, batch: int) -> tuple[Calls, ...]:
    """Return each graph's calls in the pass where they took the median time, of a second's."""
    metered, sessions = meter(sampler)
    stream = _draw(metered, batch)
    next(stream)  # the first pass may compile
    passes: list[tuple[Calls, ...]] = []
    begun = time.perf_counter()
    while not passes or _goes_on(begun, len(passes)):
        before = take_stock(sessions)
        next(stream)
        passes.append(subtract(before, take_stock(sessions)))
    median = [
        sorted(calls, key=lambda c: c.ms)[(len(calls) - 1) // 2]
        for calls in zip(*passes, strict=True)
    ]
    return tuple(calls for calls in median if calls.calls)


def _goes_on(begun: float, passes: int) -> bool:
    return passes < _MOST and time.perf_counter() - begun < _SECONDS


def _time_nodes(sampler: Sampler, batch: int, calls: Sequence[Calls]) -> tuple[ProfiledNode, ...]:
    metered, sessions = meter(sampler)
    stream = _draw(metered, batch)
    next(stream)
    skipped = take_stock(sessions)
    passes, begun = 0, time.perf_counter()
    while not passes or _goes_on(begun, passes):
        next(stream)
        passes += 1
    timed = {c.component: c.samples for c in subtract(skipped, take_stock(sessions))}
    scale = {c.component: c.samples / timed[c.component] for c in calls if timed[c.component]}
    times = [
        (name, node)
        for name in scale
        for node in read_node_times(sampler.sessions[name], skipped[name].calls)
    ]
    total = sum(node.ms for _, node in times) or 1.0
    times.sort(key=lambda item: -item[1].ms)
    return tuple(
        ProfiledNode(
            component=name,
            name=node.name,
            kind=node.kind,
            ms=node.ms * scale[name],
            share=node.ms / total,
            dtype=node.dtype,
            origins=node.origins,
        )
        for name, node in times[:HEAVIEST]
    )


if __name__ == "__main__":
    answer(ProfileRequest, profile_bundle)
