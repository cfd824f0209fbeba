"""What every sampling loop is given, and what it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError, ManifestError
from genx_runtimes.manifest import Manifest, OutputSpec, Prior
from genx_runtimes.noise import NoiseStream
from genx_runtimes.sampling_specs import SamplerSpec, StateSpec
from genx_runtimes.session import Array, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """What a caller may ask of a loop; None is what the bundle says.

    Args:
        steps: of a diffusion solver, 1 or more.
        solver: of a diffusion model, a name in `sampling_specs.SOLVERS`.
        guidance: weight of classifier-free guidance; 1 is none.
        length: elements of a sequence, or tokens that are added to the prompt.
        temperature: logits are divided by it; 0 takes the likeliest.
        top_k: only the so many likeliest tokens are drawn from.
        top_p: only the likeliest tokens whose probabilities add up to this are drawn from.
        prompt: text that a sample starts with.
    """

    steps: int | None = None
    solver: str | None = None
    guidance: float | None = None
    length: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    prompt: str | None = None

    def given(self) -> dict[str, object]:
        """Return what is not None, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopModel:
    """A bundle as a loop sees it.

    Args:
        sampler: what the manifest says of the loop.
        priors: what feeds it.
        output: the output contract.
        max_batch: the largest batch that the graphs take.
        sessions: a loaded graph for each of `sampler.components`.
        takes: the names of each one's inputs.
    """

    sampler: SamplerSpec
    priors: tuple[Prior, ...]
    output: OutputSpec
    max_batch: int
    sessions: Mapping[str, Session]
    takes: Mapping[str, Collection[str]]

    @classmethod
    def of(cls, manifest: Manifest, sessions: Mapping[str, Session]) -> LoopModel:
        """Return a manifest's model with its sessions."""
        return cls(
            sampler=manifest.sampler,
            priors=manifest.priors,
            output=manifest.output,
            max_batch=manifest.batch.max,
            sessions=sessions,
            takes={c.name: [port.name for port in c.inputs] for c in manifest.components},
        )

    def feed(self, component: str, draw: Draw) -> dict[str, Array]:
        """Return what was drawn for those priors that a component takes, (B, ...) by name."""
        return {n: a for n, a in draw.feeds.items() if n in self.takes[component]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The samples that one pass makes.

    Args:
        seed: of all of them, or of each.
        indices: of each sample, B of them.
        feeds: what was drawn for each prior, (B, ...).
        watched: whether anybody looks at what there is after each step.
    """

    seed: int | tuple[int, ...]
    indices: Sequence[int]
    feeds: Mapping[str, Array]
    watched: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each sample."""
        return (self.seed,) * len(self.indices) if isinstance(self.seed, int) else self.seed

    def normal(self, stream: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return N(0, 1) noise (B, *shape) of a named stream: sample i's depends on (seed, i)."""
        drawn = [random.standard_normal(shape) for random in self._follow(stream)]
        return np.asarray(drawn, dtype=np.float32)

    def uniform(self, stream: str, count: int) -> NDArray[np.float64]:
        """Return values (B, count) in [0, 1) of a stream; a longer row begins as a shorter."""
        return np.asarray([random.random_sample(count) for random in self._follow(stream)])

    def take(self, rows: slice) -> Draw:
        """Return some of the samples."""
        return Draw(
            seed=self.seeds[rows],
            indices=self.indices[rows],
            feeds={name: array[rows] for name, array in self.feeds.items()},
            watched=self.watched,
        )

    def _follow(self, stream: str) -> Iterator[np.random.RandomState]:
        """Yield the generator of each sample; each is valid until the next."""
        sources = {seed: NoiseStream(seed, stream) for seed in self.seeds}
        return (sources[s].at(i) for s, i in zip(self.seeds, self.indices, strict=True))


def join_draws(draws: Sequence[Draw]) -> Draw:
    """Return the samples of several draws as one pass; what they are does not change.

    Args:
        draws: of the same priors, one at least.
    """
    return Draw(
        seed=tuple(seed for draw in draws for seed in draw.seeds),
        indices=[index for draw in draws for index in draw.indices],
        feeds={n: np.concatenate([d.feeds[n] for d in draws]) for n in draws[0].feeds},
    )


# Yields the samples, (B, ...) in the units of the output; where the draw is watched, before them
# what there is after each step.
Steps = Callable[[LoopModel, Draw, SamplingOptions], Iterator[Array]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLoop:
    """A kind of sampling loop.

    Args:
        steps: the loop.
        takes: the `SamplingOptions` that have a meaning for it.
        check: raises InputError for options that cannot be met, before anything is computed.
        settle: returns the priors as they are drawn under the options; None: as they are.
        other: another way to the same samples, which export and verify run too.
    """

    steps: Steps
    takes: frozenset[str] = frozenset()
    check: Callable[[LoopModel, SamplingOptions], None] | None = None
    settle: Callable[[LoopModel, SamplingOptions], tuple[Prior, ...]] | None = None
    other: Steps | None = None

    def accept(self, model: LoopModel, options: SamplingOptions) -> tuple[Prior, ...]:
        """Return the priors to draw from under these options.

        Raises:
            InputError: an option has no meaning for this bundle, or a wrong value.
        """
        for name in options.given():
            if name not in self.takes:
                flag = "--" + name.replace("_", "-")
                takes = ", ".join("--" + n.replace("_", "-") for n in sorted(self.takes))
                raise InputError(
                    f"{flag} has no meaning for this bundle, whose sampler is "
                    f"{model.sampler.kind!r}",
                    fix=f"it takes {takes}" if takes else f"leave {flag} out",
                )
        if self.check:
            self.check(model, options)
        return self.settle(model, options) if self.settle else model.priors


def take_last(steps: Iterator[Array]) -> Array:
    """Return the samples (B, ...) that a loop ends with."""
    return deque(steps, maxlen=1)[0]


def start_states(specs: Sequence[StateSpec], batch: int) -> dict[str, Array]:
    """Return the states that a step graph starts with, (B, *shape) float32 zeros."""
    return {s.name: np.zeros((batch, *s.shape), np.float32) for s in specs}


def advance_states(
    specs: Sequence[StateSpec],
    states: Mapping[str, Array],
    outputs: Mapping[str, Array],
    position: int,
) -> dict[str, Array]:
    """Return the states after a step; those that grow are written to in place.

    Args:
        specs: of the states.
        states: before the step.
        outputs: of the step graph, with `next_NAME` for each state.
        position: of the step, from 0; where growing states take their new part.

    Raises:
        ManifestError: a new part does not fit.
    """
    after = dict(states)
    for spec in specs:
        new = outputs[f"next_{spec.name}"]
        if spec.grows is None:
            after[spec.name] = new
        else:
            place = (*(slice(None),) * (spec.grows + 1), slice(position, position + 1))
            if after[spec.name][place].shape != new.shape:
                raise ManifestError(
                    f"next_{spec.name} has shape {new.shape} at position {position} of state "
                    f"{spec.name!r}, {after[spec.name].shape}, which grows along axis {spec.grows}",
                    fix="return the new part alone, of length 1, or leave `grows` out",
                )
            after[spec.name][place] = new
    return after
