"""Running a model's sampling loop: what its components are fed on the way.

The loop is the one that samples on the device, with the original modules in the place of the
exported graphs, so that what it makes is the original model's own. Each sample keeps one of the
calls of each component, or some, each call equally likely: the golden inputs, and what quantisation
is calibrated with, are what the loop really meets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from genx_export.model import Component
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import OutputSpec, Prior, TensorSpec
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions, take_last
from genx_runtimes.sampling_specs import SamplerSpec
from genx_runtimes.session import Array, Closing
from genx_runtimes.verify_loop import WATCHED

Call = Callable[[Mapping[str, Array]], dict[str, Array]]

_OPTIONS = SamplingOptions()
_SAME = 1e-4
# Where calls are wanted rather than samples, a sample keeps so many at most: they resemble another.
_MOST = 8


@dataclass(slots=True, kw_only=True)
class _Kept:
    """Rows of one component's calls, `most` for each sample: reservoir sampling.

    The arrays are (most, samples, ...).
    """

    samples: int
    most: int
    rng: np.random.Generator
    calls: int = 0
    feeds: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)

    def record(self, call: Call) -> Call:
        """Return a call that does the same, and is kept."""

        def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
            made = call(feeds)
            self.offer(feeds, made)
            return made

        return run

    def offer(self, feeds: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Take each row of a call, after the first ones with probability most / calls.

        A call may hold several rows for each sample, block after block, as with guidance: then one
        of these.
        """
        self.calls += 1
        blocks = len(next(iter(feeds.values()))) // self.samples
        chosen = self.rng.integers(blocks, size=self.samples) * self.samples
        chosen += np.arange(self.samples)
        if self.calls == 1:
            for kept, new in ((self.feeds, feeds), (self.outputs, outputs)):
                for name, array in new.items():
                    shape = (self.most, self.samples, *array.shape[1:])
                    kept[name] = np.empty(shape, array.dtype)
        if self.calls <= self.most:
            rows = np.arange(self.samples)
            places = np.full(self.samples, self.calls - 1)
        else:
            rows = np.flatnonzero(self.rng.random(self.samples) < self.most / self.calls)
            places = self.rng.integers(self.most, size=len(rows))
        for kept, new in ((self.feeds, feeds), (self.outputs, outputs)):
            for name, array in kept.items():
                array[places, rows] = new[name][chosen[rows]]

    def take(self, count: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return inputs and outputs of `count` calls of each sample, (count * samples, ...)."""
        held = min(self.calls, self.most)
        order = np.arange(held)[:, None].repeat(self.samples, axis=1)
        places = self.rng.permuted(order, axis=0)[:count]
        rows = np.arange(self.samples)[None]
        feeds, outputs = (
            {n: a[places, rows].reshape(-1, *a.shape[2:]) for n, a in kept.items()}
            for kept in (self.feeds, self.outputs)
        )
        return feeds, outputs


class CallSession(Closing):
    """A call in the place of an exported graph.

    Args:
        call: from inputs (B, ...) to outputs (B, ...), both by the bundle's names.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, call: Call) -> None:
        self.run = call

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRun:
    """What a loop made, and the calls on the way.

    Args:
        output: the samples (B, ...).
        steps: what there was after each step for the first `WATCHED` samples, (S, WATCHED, ...);
            None where that changes its shape on the way, and where calls were wanted.
        feeds: for each component that ran, the inputs of the calls that were kept, (N, ...): one
            for each sample, or as many as were asked for.
        outputs: the outputs of these calls.
    """

    output: Array
    steps: Array | None
    feeds: Mapping[str, Mapping[str, Array]]
    outputs: Mapping[str, Mapping[str, Array]]


def run_loop(
    sampler: SamplerSpec,
    priors: tuple[Prior, ...],
    output: OutputSpec,
    calls: Mapping[str, Call],
    takes: Mapping[str, Collection[str]],
    draw: Draw,
    *,
    size: int,
    max_batch: int,
    wanted: int | None = None,
) -> LoopRun:
    """Sample with a loop, whatever computes its components, and keep what they were given.

    With `wanted` each sample keeps several calls of each component, and no more samples are made
    than it takes for that many: 256 calls are those of 32 samples where each component runs 8 times
    or more, and of 256 where one runs once.

    Args:
        sampler: the loop's spec.
        priors: what feeds it.
        output: the output contract.
        calls: what computes each of `sampler.components`.
        takes: the names of each one's inputs.
        draw: the samples to make.
        size: samples a pass.
        max_batch: the largest batch that the components take.
        wanted: calls of each component to keep; None keeps one for each sample of the draw.

    Raises:
        InputError: the sampler's own settings cannot be met.
        SourceError: two ways to the same samples differ.
    """
    loop = find_sampler(sampler.kind)
    most = 1 if wanted is None else min(_MOST, -(-wanted // size))
    parts = []
    for first in range(0, len(draw.indices), size):
        indices = draw.indices[first : first + size]
        kept = {
            name: _Kept(
                samples=len(indices), most=most, rng=np.random.default_rng([indices[0], place])
            )
            for place, name in enumerate(sampler.components)
        }
        sessions = {n: CallSession(each.record(calls[n])) for n, each in kept.items()}
        model = LoopModel(
            sampler=sampler,
            priors=priors,
            output=output,
            max_batch=max_batch,
            sessions=sessions,
            takes=takes,
        )
        loop.accept(model, _OPTIONS)
        few = Draw(
            watched=wanted is None and not first and loop.other is None,
            seed=draw.seed,
            indices=indices,
            feeds={n: a[first : first + size] for n, a in draw.feeds.items()},
        )
        watched: list[Array] = []
        last: Array = np.empty(0)
        for last in loop.steps(model, few, _OPTIONS):
            if few.watched:
                watched.append(last[:WATCHED].copy())
        if loop.other is not None:
            _compare_ways(last, take_last(loop.other(model, few, _OPTIONS)))
        ran = {n: each for n, each in kept.items() if each.calls}
        most = min(most, *(each.calls for each in ran.values()))
        parts.append((last, ran, watched))
        if wanted is not None and most * sum(len(made) for made, _, _ in parts) >= wanted:
            break
    taken = [{n: each.take(most) for n, each in ran.items()} for _, ran, _ in parts]
    steps = parts[0][2]
    same = len({a.shape for a in steps}) == 1 and len(steps) > 1
    return LoopRun(
        output=np.concatenate([last for last, _, _ in parts]),
        steps=np.stack(steps) if same else None,
        feeds=_join([{n: feeds for n, (feeds, _) in each.items()} for each in taken]),
        outputs=_join([{n: outputs for n, (_, outputs) in each.items()} for each in taken]),
    )


def _compare_ways(one: Array, other: Array) -> None:
    """Raise SourceError unless two ways to the same samples give the same.

    A sequence in one graph and step by step differs by rounding alone, which grows on the way.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    scale = float(np.abs(a).max()) or 1.0
    error = float(np.abs(a - b).max()) / scale if a.shape == b.shape else np.inf
    if not error <= _SAME:
        raise SourceError(
            f"the model's whole sequence and its steps differ by {error:.1e} of the range: shapes "
            f"{one.shape} and {other.shape}",
            fix="make step() compute what forward() computes for one element",
        )


def call_component(component: Component, names: Sequence[str]) -> Call:
    """Return the call of a component of the original model.

    Args:
        component: what runs.
        names: of its outputs in the bundle; empty: its own.

    Raises:
        SourceError: on the call: its parameters are not what the loop gives.
    """
    parameters = component.parameters
    required = {name for name, needed in parameters.items() if needed}

    def call(feeds: Mapping[str, Array]) -> dict[str, Array]:
        if not required <= set(feeds) <= set(parameters):
            raise SourceError(
                f"component {component.name!r} takes {', '.join(parameters)}; the loop gives "
                f"{', '.join(feeds)}",
                fix="name the parameters so, or tell the loop their names in [sampler]",
            )
        made = component.run(feeds)
        wanted = list(names) or list(made)
        if len(wanted) != len(made):
            raise SourceError(
                f"component {component.name!r} has {len(made)} outputs, expected "
                f"{', '.join(wanted)}",
                fix="return these in this order",
            )
        return dict(zip(wanted, made.values(), strict=True))

    return call


def _join(parts: Sequence[Mapping[str, Mapping[str, Array]]]) -> dict[str, dict[str, Array]]:
    return {
        component: {n: np.concatenate([part[component][n] for part in parts]) for n in arrays}
        for component, arrays in parts[0].items()
    }
