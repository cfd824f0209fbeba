"""Autoregressive text: one token after another, with explicit state (a KV cache, an RNN's).

Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3.1 (decoding).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genx_runtimes.errors import InputError
from genx_runtimes.samplers.decisions import settle_decision
from genx_runtimes.samplers.loop import (
    Draw,
    LoopModel,
    SampleLoop,
    SamplingOptions,
    advance_states,
    start_states,
)
from genx_runtimes.sampling_specs import TokensSpec
from genx_runtimes.session import Array
from genx_runtimes.text import encode_text


def sample_tokens(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the tokens (B, length) int64, the prompt first; a stop token repeats to the end.

    Where they are watched, what there is after each token comes before that, shorter.
    """
    spec = _spec(model)
    prompt = _encode_prompt(model, options)
    total = _count(spec, len(prompt), options)
    decision = settle_decision(options, spec.temperature)
    uniforms = draw.uniform("token", total - len(prompt))
    session = model.sessions[spec.component]
    batch = len(draw.indices)
    tokens = np.empty((batch, total), np.int64)
    tokens[:, : len(prompt)] = prompt
    last = np.full(batch, spec.start, np.int64)
    places = np.zeros(batch, np.int64)
    ended = np.zeros(batch, bool)
    # Made once: a step takes some 100 microseconds, and the host's part is to stay small.
    feeds = {**model.feed(spec.component, draw), **start_states(spec.states, batch)}
    feeds[spec.position] = places
    for position in range(total):
        places[:] = position
        feeds[spec.token] = last
        outputs = session.run(feeds)
        feeds.update(advance_states(spec.states, feeds, outputs, position))
        if position >= len(prompt):
            logits = next(iter(outputs.values()))
            drawn = decision.draw(logits, uniforms[:, position - len(prompt)])
            tokens[:, position] = np.where(ended, last, drawn) if spec.stop else drawn
            if spec.stop:
                ended |= np.isin(tokens[:, position], spec.stop)
                if ended.all():
                    tokens[:, position + 1 :] = tokens[:, position : position + 1]
                    break
            if draw.watched and position + 1 < total:
                yield tokens[:, : position + 1].copy()
        last = tokens[:, position].copy()
    yield tokens


def _encode_prompt(model: LoopModel, options: SamplingOptions) -> list[int]:
    if not options.prompt:
        return []
    if not model.output.vocabulary:
        raise InputError("the bundle has no vocabulary, a prompt means nothing to it")
    return encode_text(options.prompt, model.output.vocabulary)


def _count(spec: TokensSpec, prompt: int, options: SamplingOptions) -> int:
    """Return how many tokens there will be.

    Raises:
        InputError: more than the model can look back on, or none.
    """
    room = spec.length - prompt
    if options.length is not None and options.length < 1:
        raise InputError(f"length is {options.length}, expected 1 or more")
    if room < 1:
        raise InputError(
            f"the prompt has {prompt} tokens, the model looks back on {spec.length}",
            fix="shorten the prompt",
        )
    if options.length is not None and options.length > room:
        raise InputError(
            f"length is {options.length} and the prompt has {prompt} tokens, the model looks back "
            f"on {spec.length}",
            fix=f"--length {room}",
        )
    return prompt + (options.length or room)


def _check(model: LoopModel, options: SamplingOptions) -> None:
    spec = _spec(model)
    prompt = _encode_prompt(model, options)
    ends = [place for place, token in enumerate(prompt) if token in spec.stop]
    if ends:
        raise InputError(
            f"token {ends[0] + 1} of the prompt, {model.output.vocabulary[prompt[ends[0]]]!r}, "
            f"ends a text: nothing would follow",
            fix="leave it out",
        )
    _count(spec, len(prompt), options)
    settle_decision(options, spec.temperature)


def _spec(model: LoopModel) -> TokensSpec:
    assert isinstance(model.sampler, TokensSpec)
    return model.sampler


TOKENS = SampleLoop(
    steps=sample_tokens,
    takes=frozenset({"length", "temperature", "top_k", "top_p", "prompt"}),
    check=_check,
)
