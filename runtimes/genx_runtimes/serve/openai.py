"""OpenAI's endpoints, where a bundle fits them: images, texts, sounds.

Source: OpenAI API reference, "Images", "Completions" (legacy), "Audio", "Models". There is no seed
for images in it: `seed` and `conditions` come through the client's `extra_body`, and the seed is
told in the answer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import InputError
from genx_runtimes.images import to_pixels
from genx_runtimes.manifest import CategoricalPrior, Manifest, OutputKind
from genx_runtimes.png import encode_png
from genx_runtimes.sampling_specs import TokensSpec
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import (
    answer_error,
    answer_json,
    endpoint,
    event,
    stream_events,
    while_connected,
)
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.wire import SampleRequest, choose_seed, to_base64

_MAX_IMAGES = 10


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/images/generations."""

    prompt: str = ""
    model: str | None = None
    n: int | None = 1
    size: str | None = None
    response_format: str | None = None
    output_format: str | None = None
    stream: bool | None = False
    partial_images: int | None = 0
    quality: str | None = None
    background: str | None = None
    moderation: str | None = None
    style: str | None = None
    user: str | None = None
    seed: int | None = None
    conditions: dict[str, int | float | str | list[float]] = {}
    steps: int | None = None
    solver: str | None = None
    guidance: float | None = None
    truncation: float | None = None


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/completions."""

    model: str | None = None
    prompt: str | list[str] = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int | None = 1
    seed: int | None = None
    stream: bool | None = False
    stop: str | list[str] | None = None
    echo: bool | None = False
    user: str | None = None


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/audio/speech."""

    input: str = ""
    model: str | None = None
    voice: str | dict[str, str] | None = None
    response_format: str | None = None
    seed: int | None = None
    conditions: dict[str, int | float | str | list[float]] = {}


def make_routes(repository: Repository) -> list[Route]:  # noqa: PLR0915 - a handler each
    """Return the routes under /v1 that OpenAI's clients know."""
    limits = repository.settings.limits
    created = int(time.time())

    def describe(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": created, "owned_by": "genx"}

    async def list_models(_: Request) -> Response:
        return answer_json({"object": "list", "data": [describe(n) for n in repository.entries]})

    async def get_model(request: Request) -> Response:
        name = request.path_params["model"]
        repository.find(name)
        return answer_json(describe(name))

    async def make_images(request: Request) -> Response:
        asked = wire.decode(await request.body(), ImageRequest)
        model = await pick(repository, asked.model, "image")
        size = _check_image(asked, model)
        if not 1 <= (asked.n or 1) <= _MAX_IMAGES:
            raise InputError(f"n is {asked.n}, expected 1 to {_MAX_IMAGES}")
        seed = choose_seed(asked.seed)
        wanted = SampleRequest(
            n=asked.n or 1,
            conditions=_read_prompt(model.manifest, asked.prompt, asked.conditions),
            steps=asked.steps,
            solver=asked.solver,
            guidance=asked.guidance,
            truncation=asked.truncation,
        )
        told = {"created": int(time.time()), "seed": seed, "size": size, "output_format": "png"}
        if asked.stream:
            if wanted.n != 1:
                raise InputError("a stream makes one image, n is above 1")
            wire.check_limits(wanted, limits)
            drawn = wire.draw(model, wanted, seed)
            return stream_events(
                _stream_image(request, model, drawn, wanted, asked.partial_images or 0, told)
            )
        batch = await while_connected(request, wire.sample(model, wanted, seed, limits))
        return answer_json({**told, "data": [{"b64_json": t} for t in wire.to_items(batch)]})

    async def complete(request: Request) -> Response:
        asked = wire.decode(await request.body(), CompletionRequest)
        model = await pick(repository, asked.model, "text")
        if asked.stop:
            raise InputError(
                "stop is not supported: the model's own stop tokens end a text", fix="leave it out"
            )
        if isinstance(asked.prompt, list) and len(asked.prompt) != 1:
            raise InputError(f"{len(asked.prompt)} prompts, this server takes one a request")
        prompt = asked.prompt if isinstance(asked.prompt, str) else asked.prompt[0]
        seed = choose_seed(asked.seed)
        wanted = SampleRequest(
            n=asked.n or 1,
            prompt=prompt or None,
            length=asked.max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
        )
        wire.check_limits(wanted, limits)
        head = {
            "id": f"cmpl-{request.state.request_id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.manifest.name,
        }
        shown = prompt if asked.echo else ""
        if asked.stream:
            drawn = wire.draw(model, wanted, seed)
            return stream_events(_stream_text(request, model, drawn, wanted, head, shown))
        batch = await while_connected(request, wire.sample(model, wanted, seed, limits))
        choices = [
            _choice(i, shown + text[len(prompt) :], _finish(model, row))
            for i, (text, row) in enumerate(zip(batch.texts(), batch.output, strict=True))
        ]
        given = len(prompt)
        made = sum(len(row) for row in batch.output) - given * len(choices)
        usage = {
            "prompt_tokens": given,
            "completion_tokens": made,
            "total_tokens": given + made,
        }
        return answer_json({**head, "choices": choices, "usage": usage, "seed": seed})

    async def speak(request: Request) -> Response:
        from genx_runtimes.audio import encode_wav

        asked = wire.decode(await request.body(), SpeechRequest)
        model = await pick(repository, asked.model, "audio")
        if asked.response_format not in (None, "wav"):
            raise InputError(f"response_format is {asked.response_format!r}, expected 'wav'")
        seed = choose_seed(asked.seed)
        conditions = _read_prompt(model.manifest, asked.input, asked.conditions)
        wanted = SampleRequest(conditions=conditions)
        batch = await while_connected(request, wire.sample(model, wanted, seed, limits))
        data = encode_wav(batch.waves()[0], batch.spec.sample_rate or 0)
        return Response(data, media_type="audio/wav", headers={"x-genx-seed": str(seed)})

    return [
        Route("/v1/models", endpoint(list_models), name="list_models"),
        Route("/v1/models/{model}", endpoint(get_model), name="get_model"),
        Route(
            "/v1/images/generations",
            endpoint(make_images),
            methods=["POST"],
            name="images_generations",
        ),
        Route("/v1/completions", endpoint(complete), methods=["POST"], name="completions"),
        Route("/v1/audio/speech", endpoint(speak), methods=["POST"], name="audio_speech"),
    ]


async def pick(
    repository: Repository, name: str | None, kind: OutputKind | None = None
) -> ServedModel:
    """Return the model of a name, or the only one that makes what is asked for.

    Raises:
        InputError: none or several make it, or the one that is named makes something else.
    """
    if name is None:
        fitting = [
            known
            for known, entry in repository.entries.items()
            if kind in (None, entry.bundle.manifest.output.kind)
        ]
        if len(fitting) != 1:
            raise InputError(
                f"{len(fitting)} models make this", fix=f"name one: {list(repository.entries)}"
            )
        (name,) = fitting
    output = repository.find(name).bundle.manifest.output
    if kind not in (None, output.kind):
        raise InputError(f"model {name!r} makes {output.noun}, not what this endpoint answers")
    return await repository.get(name)


def _check_image(asked: ImageRequest, model: ServedModel) -> str:
    """Return the size of the model's images, `WxH`."""
    if asked.response_format not in (None, "b64_json"):
        raise InputError(f"response_format is {asked.response_format!r}, expected 'b64_json'")
    if asked.output_format not in (None, "png"):
        raise InputError(f"output_format is {asked.output_format!r}, expected 'png'")
    if not 0 <= (asked.partial_images or 0) <= 3:
        raise InputError(f"partial_images is {asked.partial_images}, expected 0 to 3")
    golden = model.image_size
    size = f"{golden[1]}x{golden[0]}"
    if asked.size not in (None, "auto", size):
        raise InputError(f"size is {asked.size!r}, this model makes {size}")
    return size


def _read_prompt(
    manifest: Manifest, prompt: str, conditions: dict[str, Any]
) -> dict[str, int | float | str | list[float]]:
    """Return the conditions, with the class that a prompt names; a prompt is never ignored.

    Raises:
        InputError: it names no class of the model.
    """
    if not prompt:
        return conditions
    priors = [p for p in manifest.priors if isinstance(p, CategoricalPrior)]
    if len(priors) == 1:
        (prior,) = priors
        known = prior.labels or tuple(map(str, range(prior.classes)))
        if prompt in known and prior.name not in conditions:
            return {**conditions, prior.name: prompt}
        raise InputError(
            f"the prompt {prompt!r} is no class of this model", fix=f"prompt one of {list(known)}"
        )
    raise InputError(
        "this model understands no prompt", fix="leave it empty and send conditions instead"
    )


def _choice(index: int, text: str, finish: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _finish(model: ServedModel, tokens: Any) -> str:
    sampler = model.manifest.sampler
    stops = sampler.stop if isinstance(sampler, TokensSpec) else ()
    return "stop" if any(token in stops for token in tokens.tolist()) else "length"


async def _stream_image(
    request: Request,
    model: ServedModel,
    drawn: Any,
    wanted: SampleRequest,
    partials: int,
    told: dict[str, object],
) -> AsyncIterator[bytes]:
    """Yield up to `partials` images on the way, evenly, and the last."""
    steps: list[Any] = []
    sent = 0
    try:
        total = wanted.steps or model.usual_steps
        async for batch in model.watch(drawn, wanted.options):
            steps.append(batch)
            due = partials and len(steps) < total and len(steps) * (partials + 1) // total > sent
            if due and sent < partials:
                picture = encode_png(to_pixels(batch.output, batch.spec)[0])
                name = "image_generation.partial_image"
                yield event(
                    {
                        "type": name,
                        "b64_json": to_base64(picture),
                        "partial_image_index": sent,
                        "created_at": told["created"],
                        **told,
                    },
                    name,
                )
                sent += 1
            if await request.is_disconnected():
                return
        picture = encode_png(to_pixels(steps[-1].output, steps[-1].spec)[0])
    except Exception as err:
        yield event(bytes(answer_error(request.url.path, err).body).decode(), "error")
        return
    name = "image_generation.completed"
    yield event(
        {
            "type": name,
            "b64_json": to_base64(picture),
            "created_at": told["created"],
            **told,
        },
        name,
    )


async def _stream_text(
    request: Request,
    model: ServedModel,
    drawn: Any,
    wanted: SampleRequest,
    head: dict[str, object],
    shown: str,
) -> AsyncIterator[bytes]:
    """Yield what each step adds to each text."""
    said = [len(wanted.prompt or "")] * wanted.n
    try:
        if shown:
            yield event({**head, "choices": [_choice(i, shown, None) for i in range(wanted.n)]})
        last = None
        async for last in model.watch(drawn, wanted.options):
            for index, text in enumerate(last.texts()):
                if len(text) > said[index]:
                    added, said[index] = text[said[index] :], len(text)
                    yield event({**head, "choices": [_choice(index, added, None)]})
            if await request.is_disconnected():
                return
        if last is not None:
            ends = [_choice(i, "", _finish(model, row)) for i, row in enumerate(last.output)]
            yield event({**head, "choices": ends})
    except Exception as err:
        yield event(bytes(answer_error(request.url.path, err).body).decode())
    yield event("[DONE]")
