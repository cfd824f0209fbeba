"""Requests and answers of genx's own endpoint, and what every endpoint needs of a request."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np

from genx_runtimes.errors import InputError, NonFiniteError
from genx_runtimes.png import encode_png
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.sampling_specs import TokensSpec
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.settings import Limits
from genx_runtimes.session import Array

_Found = TypeVar("_Found")
_Request = TypeVar("_Request")
Conditions = dict[str, int | float | str | list[float]]
_MANY = 65536


class SampleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples to draw.

    Args:
        model: the bundle's name; not needed where there is one.
        n: how many.
        seed: 0 to 2^64 - 1; None takes a random one, which the answer tells.
        start: index of the first sample.
        conditions: what is fixed instead of drawn, such as {"label": 3}.
        truncation: largest magnitude of normal latents.
        interpolate: walk from one sample of the seed to another in `n` steps.
        steps: of a diffusion solver.
        solver: of a diffusion model.
        guidance: weight of classifier-free guidance.
        length: elements of a sequence, or tokens.
        temperature: logits are divided by it.
        top_k: only the so many likeliest tokens are drawn from.
        top_p: only the likeliest tokens that add up to this are drawn from.
        prompt: text that a sample starts with.
        format: `png` (a grid), `npy`, `json`; None takes what fits the output.
        stream: send what there is after each step, as server-sent events.
    """

    model: str | None = None
    n: int = 1
    seed: int | None = None
    start: int = 0
    conditions: Conditions = {}
    truncation: float | None = None
    interpolate: tuple[int, int] | None = None
    steps: int | None = None
    solver: str | None = None
    guidance: float | None = None
    length: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    prompt: str | None = None
    format: str | None = None
    stream: bool = False

    @property
    def options(self) -> SamplingOptions:
        """What is asked of the loop."""
        return SamplingOptions(
            steps=self.steps,
            solver=self.solver,
            guidance=self.guidance,
            length=self.length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            prompt=self.prompt,
        )


# What is asked of the loop, and of the latents.
SETTINGS = (*SamplingOptions.__dataclass_fields__, "truncation")


def decode(data: bytes, kind: type[_Request]) -> _Request:
    """Parse a request's JSON.

    Raises:
        InputError: not JSON, or not what is expected; the message names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as err:
        raise InputError(f"the body is not what is expected: {err}") from err


def convert(fields: dict[str, object]) -> SampleRequest:
    """Return a request of fields that came in another way.

    Raises:
        InputError: one is not what is expected.
    """
    try:
        return msgspec.convert(fields, SampleRequest)
    except msgspec.ValidationError as err:
        raise InputError(f"a parameter is not what is expected: {err}") from err


def check_limits(request: SampleRequest, limits: Limits) -> None:
    """Raise InputError where a request asks for more than it may."""
    for name, value, most in (  # what is below 1 is refused by the loop itself
        ("n", request.n, limits.n),
        ("steps", request.steps or 1, limits.steps),
        ("length", request.length or 1, limits.length),
        ("prompt's length", len(request.prompt or ""), limits.length),
    ):
        if value > most:
            raise InputError(f"{name} is {value}, this server allows {most}")


def choose_seed(seed: int | None) -> int:
    """Return the seed, or a random one of 32 bits, which JavaScript can hold."""
    return secrets.randbits(32) if seed is None else seed


def draw(model: ServedModel, request: SampleRequest, seed: int) -> Draw:
    """Draw the inputs that a request asks for.

    Raises:
        InputError: an argument is wrong.
    """
    if request.interpolate is not None:
        a, b = request.interpolate
        return model.instances[0].sampler.draw_between(
            a,
            b,
            request.n,
            seed=seed,
            conditions=request.conditions,
            truncation=request.truncation,
            options=request.options,
        )
    return model.draw(
        request.n,
        seed=seed,
        start=request.start,
        conditions=request.conditions,
        truncation=request.truncation,
        options=request.options,
    )


async def sample(model: ServedModel, request: SampleRequest, seed: int, limits: Limits) -> Batch:
    """Answer a request, joined with others.

    Raises:
        InputError: an argument is wrong.
    """
    check_limits(request, limits)
    # Many or large latents would hold up the other requests.
    if request.n * model.latent_values > _MANY:
        drawn = await asyncio.to_thread(draw, model, request, seed)
    else:
        drawn = draw(model, request, seed)
    return await make(model, drawn, request, limits, conditioned=bool(request.conditions))


async def make(
    model: ServedModel, drawn: Draw, request: SampleRequest, limits: Limits, *, conditioned: bool
) -> Batch:
    """Make the samples of a draw, joined with others.

    Raises:
        InputError: conditions, where there are any, drive the model to NaN or infinity.
    """
    try:
        output = await model.sample(drawn, request.options, deadline=find_deadline(limits))
    except NonFiniteError as err:
        if conditioned:
            raise InputError("these conditions drive the model to NaN or infinity") from err
        raise
    return wrap(model, drawn, output)


def check_stream(model: ServedModel, request: SampleRequest, limits: Limits) -> None:
    """Raise InputError where a request asks for more than it may, or than a call holds."""
    check_limits(request, limits)
    if request.n > model.max_batch:
        raise InputError(f"n is {request.n}, a stream makes {model.max_batch} at most")


def find_deadline(limits: Limits) -> float:
    """Return when a request that comes now is given up, on the loop's clock."""
    return asyncio.get_running_loop().time() + limits.seconds


def wrap(model: ServedModel, drawn: Draw, output: Array) -> Batch:
    """Return the samples with their contract."""
    sampler = model.manifest.sampler
    return Batch(
        start=drawn.indices[0],
        feeds=drawn.feeds,
        output=output,
        spec=model.manifest.output,
        stop=sampler.stop if isinstance(sampler, TokensSpec) else (),
    )


async def to_items(batch: Batch) -> list[Any]:
    """Return each sample as JSON can hold it: a PNG in base64, a text, or nested numbers."""
    return await elsewhere(batch, list_items, batch)


async def elsewhere(batch: Batch, work: Callable[..., _Found], *args: object) -> _Found:
    """Return what `work` does with a batch; in another thread if that would hold others up."""
    if batch.output.size > _MANY:
        return await asyncio.to_thread(work, *args)
    return work(*args)


def list_items(batch: Batch) -> list[Any]:
    """Return what `to_items` does, in this thread."""
    if batch.spec.kind == "image":
        return [to_base64(encode_png(image)) for image in batch.images()]
    if batch.spec.kind == "text":
        return list(batch.texts())
    return list(np.asarray(batch.output).tolist())


def to_base64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")
