"""genx's own endpoints: everything that the Python API can do.

POST /v1/sample draws samples, POST /v1/translate takes a picture to another, GET /v1/contracts/NAME
tells what a page or a client needs to offer the right controls.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from contextlib import ExitStack

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.audio import encode_wav, join_waves
from genx_runtimes.errors import InputError
from genx_runtimes.images import make_grid
from genx_runtimes.png import encode_png
from genx_runtimes.sampler import Batch
from genx_runtimes.sampling_specs import TranslateSpec
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import (
    EventStream,
    answer_json,
    endpoint,
    event,
    event_of_error,
    while_connected,
)
from genx_runtimes.serve.contracts import describe_contract, list_formats
from genx_runtimes.serve.openai import pick
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.watch import Watch
from genx_runtimes.serve.wire import SampleRequest, choose_seed

_DIGITS = 20


def make_routes(repository: Repository) -> list[Route]:
    """Return the routes of genx's own."""
    limits = repository.settings.limits

    async def sample(request: Request) -> Response:
        asked = wire.decode(await request.body(), SampleRequest)
        deadline = wire.find_deadline(limits)
        with ExitStack() as held:
            model = await pick(repository, asked.model, held, deadline=deadline)
            kind = model.manifest.output.kind
            formats = list_formats(kind)
            _check(asked)
            form = asked.format or formats[0]
            if form not in formats:
                raise InputError(f"format is {form!r}, {kind} comes as {', '.join(formats)}")
            seed = choose_seed(asked.seed)
            if asked.stream:
                started = wire.watch(model, asked, seed, limits, deadline=deadline)
                steps = await while_connected(request, started)
                return EventStream(_stream(steps, seed), steps.close)
            work = wire.sample(model, asked, seed, limits, deadline=deadline)
            batch = await while_connected(request, work)
            return await wire.elsewhere(
                batch.output.size, _answer, batch, form, model.manifest.name, seed, asked.start
            )

    async def translate(request: Request) -> Response:
        query = request.query_params
        text = query.get("seed", "0")
        if not text.isdecimal() or len(text) > _DIGITS:
            raise InputError(f"seed is {text[:99]!r}, expected 0 to 2^64 - 1")
        seed = int(text)
        body = await request.body()
        deadline = wire.find_deadline(limits)
        with ExitStack() as held:
            model = await pick(repository, query.get("model"), held, deadline=deadline)
            if not isinstance(model.manifest.sampler, TranslateSpec):
                raise InputError(f"model {model.manifest.name!r} does not translate pictures")
            work = model.translate(body, seed=seed, max_pixels=limits.pixels, deadline=deadline)
            picture = await while_connected(request, work)
        return Response(picture, media_type="image/png", headers={"x-genx-seed": str(seed)})

    async def contract(request: Request) -> Response:
        entry = repository.find(request.path_params["model"])
        return answer_json(describe_contract(entry, repository.settings))

    return [
        Route("/v1/sample", endpoint(sample), methods=["POST"], name="sample"),
        Route("/v1/translate", endpoint(translate), methods=["POST"], name="translate"),
        Route("/v1/contracts/{model}", endpoint(contract), name="contract"),
    ]


def _check(asked: SampleRequest) -> None:
    """Raise InputError where one thing that is asked for leaves another without a meaning."""
    if asked.stream and asked.format:
        raise InputError("a stream is JSON, it takes no format", fix="leave out one of them")
    if asked.interpolate is not None and asked.start:
        raise InputError(
            "interpolate names its samples itself, it takes no start", fix="leave out one of them"
        )


def _answer(batch: Batch, form: str, name: str, seed: int, start: int) -> Response:
    headers = {"x-genx-seed": str(seed)}
    if form == "png":
        images = batch.images()
        pixels = images[0] if len(images) == 1 else make_grid(images)
        return Response(encode_png(pixels), media_type="image/png", headers=headers)
    if form == "wav":
        rate = batch.spec.sample_rate or 0
        sound = encode_wav(join_waves(list(batch.waves()), rate), rate)
        return Response(sound, media_type="audio/wav", headers=headers)
    if form == "npy":
        file = io.BytesIO()
        np.save(file, batch.output)
        return Response(file.getvalue(), media_type="application/octet-stream", headers=headers)
    return answer_json(
        {
            "model": name,
            "seed": seed,
            "start": start,
            "kind": batch.spec.kind,
            "samples": wire.list_items(batch),
        },
        headers=headers,
    )


async def _stream(steps: Watch, seed: int) -> AsyncGenerator[bytes]:
    """Yield an event for each step with all samples as they are then."""
    step = 0
    try:
        async for batch in steps:
            step += 1
            yield await wire.elsewhere(batch.output.size, _tell, batch, step, seed)
        yield event({"steps": step, "seed": seed}, "done")
    except Exception as err:
        yield event_of_error("/v1/sample", err, "error")


def _tell(batch: Batch, step: int, seed: int) -> bytes:
    return event({"step": step, "seed": seed, "samples": wire.list_items(batch)}, "step")
