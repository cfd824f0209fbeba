"""Recurrent generators: a step for each element of a sequence, with explicit state.

Where the bundle has the whole sequence in one graph and nobody asks for another length, that graph
runs; both give the same.

Source: Mogren, "C-RNN-GAN", arXiv:1611.09904 (an LSTM that reads a sequence of noise).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import structs

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import CategoricalPrior, Prior
from genx_runtimes.sampler_checks import list_sequence_problems
from genx_runtimes.samplers.loop import (
    Draw,
    LoopModel,
    SampleLoop,
    SamplingOptions,
    advance_states,
    start_states,
)
from genx_runtimes.sampling_specs import RecurrentSpec
from genx_runtimes.session import Array


def sample_recurrent(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the sequence, (B, ...); where it is watched, what there is of it after each element."""
    spec = _spec(model)
    length = options.length or spec.length
    if not draw.watched and spec.whole is not None and length == spec.length:
        feeds = model.feed(spec.whole, draw)
        yield model.sessions[spec.whole].run(feeds)[model.output.name]
        return
    yield from step_through(model, draw, options)


def step_through(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the same as `sample_recurrent`, whether or not there is a graph of it all."""
    spec = _spec(model)
    session = model.sessions[spec.component]
    states = start_states(spec.states, len(draw.indices))
    drawn = model.feed(spec.component, draw)
    elements: list[Array] = []
    for position in range(options.length or spec.length):
        feeds = {
            name: np.ascontiguousarray(array[:, position]) if name in spec.sequences else array
            for name, array in drawn.items()
        }
        outputs = session.run({**feeds, **states})
        states = advance_states(spec.states, states, outputs, position)
        elements.append(outputs[model.output.name])
        if draw.watched:
            yield np.stack(elements, axis=spec.axis + 1)
    if not draw.watched:
        yield np.stack(elements, axis=spec.axis + 1)


def _check(model: LoopModel, options: SamplingOptions) -> None:
    spec = _spec(model)
    for problem in list_sequence_problems(spec, model.priors):
        raise InputError(problem, fix="correct [sampler] and export it again")
    if options.length is None:
        return
    if options.length < 1:
        raise InputError(f"length is {options.length}, expected 1 or more")
    for state in spec.states:
        room = options.length if state.grows is None else state.shape[state.grows]
        if options.length > room:
            raise InputError(
                f"length is {options.length}, the state {state.name!r} holds {room} steps",
                fix=f"--length {room}",
            )


def _settle(model: LoopModel, options: SamplingOptions) -> tuple[Prior, ...]:
    """Return the priors as long as is asked for; a longer one begins as a shorter."""
    spec = _spec(model)
    return tuple(
        structs.replace(prior, shape=(options.length or spec.length, *prior.shape[1:]))
        if not isinstance(prior, CategoricalPrior) and prior.name in spec.sequences
        else prior
        for prior in model.priors
    )


def _spec(model: LoopModel) -> RecurrentSpec:
    assert isinstance(model.sampler, RecurrentSpec)
    return model.sampler


RECURRENT = SampleLoop(
    steps=sample_recurrent,
    takes=frozenset({"length"}),
    check=_check,
    settle=_settle,
    other=step_through,
)
