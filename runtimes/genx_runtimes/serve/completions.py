"""OpenAI's completions, with streaming: POST /v1/completions.

Source: OpenAI API reference, "Completions" (legacy).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import InputError
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import (
    EventStream,
    answer_json,
    endpoint,
    event,
    event_of_error,
    while_connected,
)
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.openai import pick, refuse_given
from genx_runtimes.serve.repository import Repository
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
        with ExitStack() as held:
            model = await pick(repository, asked.model, held, "text")
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
            told = {
                "id": f"cmpl-{request.state.request_id}",
                "object": "text_completion",
                "created": int(time.time()),
                "model": model.manifest.name,
            }
            count = _TokenCount(model, prompt)
            shown = prompt if asked.echo else ""
            if asked.stream:
                wire.check_stream(model, wanted, limits)
                options = asked.stream_options or StreamOptions()
                events = _stream(
                    model,
                    wire.draw(model, wanted, seed),
                    wanted,
                    told=told,
                    shown=shown,
                    count=count if options.include_usage else None,
                    deadline=wire.find_deadline(limits),
                )
                return EventStream(events, held.pop_all())
            batch = await while_connected(request, wire.sample(model, wanted, seed, limits))
            choices = [
                _choice(i, shown + text[len(prompt) :], _finish(batch, i))
                for i, text in enumerate(batch.texts())
            ]
            usage = count.of(batch)
            return answer_json({**told, "choices": choices, "usage": usage, "seed": seed})

    return [Route("/v1/completions", endpoint(complete), methods=["POST"], name="completions")]


def _check(asked: CompletionRequest) -> str:
    """Return the prompt; what cannot be met is refused."""
    if asked.stop:
        raise InputError(
            "stop is not supported: the model's own stop tokens end a text", fix="leave it out"
        )
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


class _TokenCount:
    """How many tokens a request had and was answered, a stop token counted."""

    def __init__(self, model: ServedModel, prompt: str) -> None:
        self.prompt = len(encode_text(prompt, model.manifest.output.vocabulary)) if prompt else 0

    def of(self, batch: Batch) -> dict[str, int]:
        """Return the usage of a batch of whole texts."""
        ends = np.isin(batch.output[:, self.prompt :], batch.stop)
        lengths = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, ends.shape[1])
        made = int(lengths.sum())
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": made,
            "total_tokens": self.prompt + made,
        }


def _choice(index: int, text: str, finish: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _finish(batch: Batch, row: int) -> str:
    return "stop" if np.isin(batch.output[row], batch.stop).any() else "length"


async def _stream(
    model: ServedModel,
    drawn: Draw,
    wanted: SampleRequest,
    *,
    told: dict[str, object],
    shown: str,
    count: _TokenCount | None,
    deadline: float,
) -> AsyncGenerator[bytes]:
    """Yield what each step adds to each text."""
    said = [len(wanted.prompt or "")] * wanted.n
    last: Batch | None = None
    try:
        if shown:
            yield event({**told, "choices": [_choice(i, shown, None) for i in range(wanted.n)]})
        async for last in model.watch(drawn, wanted.options, deadline=deadline):
            for index, text in enumerate(last.texts()):
                if len(text) > said[index]:
                    added, said[index] = text[said[index] :], len(text)
                    yield event({**told, "choices": [_choice(index, added, None)]})
        assert last is not None
        ends = [_choice(index, "", _finish(last, index)) for index in range(wanted.n)]
        yield event({**told, "choices": ends})
        if count is not None:
            yield event({**told, "choices": [], "usage": count.of(last)})
        yield event("[DONE]")
    except Exception as err:
        yield event_of_error("/v1/completions", err)
