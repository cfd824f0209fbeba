"""OpenAI's completions, with streaming: POST /v1/completions.

Source: OpenAI API reference, "Completions" (legacy).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from dataclasses import replace

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import InputError
from genx_runtimes.sampler import Batch
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import (
    EventStream,
    answer_json,
    endpoint,
    event,
    event_of_error,
    while_connected,
)
from genx_runtimes.serve.openai import pick, refuse_given
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.watch import Watch
from genx_runtimes.serve.wire import SampleRequest, choose_seed
from genx_runtimes.text import encode_text


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stream tells beside the text."""

    include_usage: bool = False
    include_obfuscation: bool = False


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/completions."""

    model: str | None = None
    prompt: str | list[str] = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    suffix: str | None = None
    user: str | None = None


def make_routes(repository: Repository) -> list[Route]:
    """Return the route of completions."""
    limits = repository.settings.limits

    async def complete(request: Request) -> Response:
        asked = wire.decode(await request.body(), CompletionRequest)
        deadline = wire.find_deadline(limits)
        with ExitStack() as held:
            model = await pick(repository, asked.model, held, "text", deadline=deadline)
            prompt = _check(asked)
            seed = choose_seed(asked.seed)
            wanted = SampleRequest(
                n=1 if asked.n is None else asked.n,
                prompt=prompt or None,
                length=asked.max_tokens,
                temperature=asked.temperature,
                top_p=asked.top_p,
                top_k=asked.top_k,
            )
            told: dict[str, object] = {
                "id": f"cmpl-{request.state.request_id}",
                "object": "text_completion",
                "created": int(time.time()),
                "model": model.manifest.name,
            }
            shown = prompt if asked.echo else ""
            if asked.stream:
                started = wire.watch(model, wanted, seed, limits, deadline=deadline)
                steps = await while_connected(request, started)
                options = asked.stream_options or StreamOptions()
                events = _stream(
                    steps, wanted, told=told, shown=shown, counts=options.include_usage
                )
                return EventStream(events, steps.close)
            work = wire.sample(model, wanted, seed, limits, deadline=deadline)
            batch = await while_connected(request, work)
            told["seed"] = seed
            return await wire.elsewhere(batch.output.size, _answer, batch, prompt, shown, told)

    return [Route("/v1/completions", endpoint(complete), methods=["POST"], name="completions")]


def _check(asked: CompletionRequest) -> str:
    """Return the prompt; what cannot be met is refused."""
    if asked.stop:
        raise InputError(
            "stop is not supported: the model's own stop tokens end a text", fix="leave it out"
        )
    if asked.stream_options is not None and not asked.stream:
        raise InputError("stream_options says how to stream", fix="give stream, or leave it out")
    refuse_given(
        {
            "best_of": asked.best_of not in (None, 1, asked.n),
            "logprobs": asked.logprobs is not None,
            "frequency_penalty": bool(asked.frequency_penalty),
            "presence_penalty": bool(asked.presence_penalty),
            "logit_bias": bool(asked.logit_bias),
            "suffix": bool(asked.suffix),
        }
    )
    if isinstance(asked.prompt, str):
        return asked.prompt
    if len(asked.prompt) != 1:
        raise InputError(f"{len(asked.prompt)} prompts, this server takes one a request")
    return asked.prompt[0]


def _answer(batch: Batch, prompt: str, shown: str, told: dict[str, object]) -> Response:
    choices = [
        _choice(i, shown + text[len(prompt) :], _finish(batch, i))
        for i, text in enumerate(batch.texts())
    ]
    return answer_json({**told, "choices": choices, "usage": _count(batch, prompt)})


def _count(batch: Batch, prompt: str) -> dict[str, int]:
    """Return how many tokens a request had and was answered, a stop token counted."""
    given = len(encode_text(prompt, batch.spec.vocabulary)) if prompt else 0
    ends = np.isin(batch.output[:, given:], batch.stop)
    lengths = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, ends.shape[1])
    made = int(lengths.sum())
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _choice(index: int, text: str, finish: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _finish(batch: Batch, row: int) -> str:
    return "stop" if np.isin(batch.output[row], batch.stop).any() else "length"


async def _stream(
    steps: Watch, wanted: SampleRequest, *, told: dict[str, object], shown: str, counts: bool
) -> AsyncGenerator[bytes]:
    """Yield what each step adds to each text."""
    prompt = wanted.prompt or ""
    seen = 0
    last: Batch | None = None
    try:
        if shown:
            yield event({**told, "choices": [_choice(i, shown, None) for i in range(wanted.n)]})
        async for last in steps:
            new = replace(last, output=last.output[:, seen:])
            texts = await wire.elsewhere(new.output.size, new.texts)
            for index, text in enumerate(texts):
                added = text if seen else text[len(prompt) :]
                if added:
                    yield event({**told, "choices": [_choice(index, added, None)]})
            seen = last.output.shape[1]
        assert last is not None
        ends = [_choice(index, "", _finish(last, index)) for index in range(wanted.n)]
        yield event({**told, "choices": ends})
        if counts:
            usage = await wire.elsewhere(last.output.size, _count, last, prompt)
            yield event({**told, "choices": [], "usage": usage})
        yield event("[DONE]")
    except Exception as err:
        yield event_of_error("/v1/completions", err)
