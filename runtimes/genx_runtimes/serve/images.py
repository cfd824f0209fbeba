"""OpenAI's images: POST /v1/images/generations.

Source: OpenAI API reference, "Images". It has no seed for images: `seed`, `conditions` and the
loop's settings come through the client's `extra_body`, and the seed is told in the answer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import InputError
from genx_runtimes.png import encode_png
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
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.openai import pick, read_prompt, refuse_given
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.watch import Watch
from genx_runtimes.serve.wire import Conditions, SampleRequest, choose_seed, to_base64

_MAX_IMAGES = 10
_MAX_PARTIAL = 3
_NEUTRAL = (None, "auto")


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/images/generations."""

    prompt: str = ""
    model: str | None = None
    n: int | None = None
    size: str | None = None
    response_format: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    stream: bool | None = None
    partial_images: int | None = None
    quality: str | None = None
    background: str | None = None
    moderation: str | None = None
    style: str | None = None
    user: str | None = None
    seed: int | None = None
    conditions: Conditions = {}
    steps: int | None = None
    solver: str | None = None
    guidance: float | None = None
    truncation: float | None = None


def make_routes(repository: Repository) -> list[Route]:
    """Return the route of images."""
    limits = repository.settings.limits

    async def make_images(request: Request) -> Response:
        asked = wire.decode(await request.body(), ImageRequest)
        deadline = wire.find_deadline(limits)
        with ExitStack() as held:
            model = await pick(repository, asked.model, held, "image", deadline=deadline)
            size = _check(asked, model)
            seed = choose_seed(asked.seed)
            wanted = SampleRequest(
                n=1 if asked.n is None else asked.n,
                conditions=read_prompt(model.manifest, asked.prompt, asked.conditions),
                steps=asked.steps,
                solver=asked.solver,
                guidance=asked.guidance,
                truncation=asked.truncation,
            )
            if not 1 <= wanted.n <= _MAX_IMAGES:
                raise InputError(f"n is {wanted.n}, expected 1 to {_MAX_IMAGES}")
            told = {"created": int(time.time()), "seed": seed, "size": size, "output_format": "png"}
            if not asked.stream:
                work = wire.sample(model, wanted, seed, limits, deadline=deadline)
                batch = await while_connected(request, work)
                items = await wire.elsewhere(batch.output.size, wire.list_items, batch)
                return answer_json({**told, "data": [{"b64_json": text} for text in items]})
            if wanted.n != 1:
                raise InputError(f"n is {wanted.n}, a stream makes one image")
            started = wire.watch(model, wanted, seed, limits, deadline=deadline)
            steps = await while_connected(request, started)
            total = wanted.steps or model.usual_steps
            events = _stream(steps, total, partials=asked.partial_images or 0, told=told)
            return EventStream(events, steps.close)

    return [
        Route(
            "/v1/images/generations",
            endpoint(make_images),
            methods=["POST"],
            name="images_generations",
        )
    ]


def _check(asked: ImageRequest, model: ServedModel) -> str:
    """Return the size of the model's images, `WxH`; what it cannot meet is refused."""
    if asked.response_format not in (None, "b64_json"):
        raise InputError(f"response_format is {asked.response_format!r}, expected 'b64_json'")
    if asked.output_format not in (None, "png"):
        raise InputError(f"output_format is {asked.output_format!r}, expected 'png'")
    if not 0 <= (asked.partial_images or 0) <= _MAX_PARTIAL:
        raise InputError(f"partial_images is {asked.partial_images}, expected 0 to {_MAX_PARTIAL}")
    if asked.partial_images and not asked.stream:
        raise InputError("partial_images is for streams", fix="leave it out, or send stream: true")
    refuse_given(
        {
            "quality": asked.quality not in _NEUTRAL,
            "background": asked.background not in _NEUTRAL,
            "style": asked.style is not None,
            "output_compression": asked.output_compression not in (None, 100),
        }
    )
    height, width = model.image_size
    size = f"{width}x{height}"
    if asked.size not in (*_NEUTRAL, size):
        raise InputError(f"size is {asked.size!r}, this model makes {size}")
    return size


async def _stream(
    steps: Watch, total: int, *, partials: int, told: dict[str, object]
) -> AsyncGenerator[bytes]:
    """Yield up to `partials` images on the way, evenly, and the last."""
    done = sent = 0
    last: Batch | None = None
    try:
        async for last in steps:
            done += 1
            if sent < partials and done < total and done * (partials + 1) // total > sent:
                partial = {**told, "partial_image_index": sent}
                yield await wire.elsewhere(last.output.size, _tell, "partial_image", last, partial)
                sent += 1
        assert last is not None
        yield await wire.elsewhere(last.output.size, _tell, "completed", last, told)
    except Exception as err:
        yield event_of_error(_PATH, err, "error")


_PATH = "/v1/images"


def _tell(kind: str, batch: Batch, told: dict[str, object]) -> bytes:
    name = f"image_generation.{kind}"
    picture = to_base64(encode_png(batch.images()[0]))
    return event({"type": name, "b64_json": picture, "created_at": told["created"], **told}, name)
