"""Requests and answers of genx's own endpoint, and what every endpoint needs of a request."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from genx_runtimes.audio import encode_wav
from genx_runtimes.errors import InputError, NonFiniteError
from genx_runtimes.png import encode_png
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.settings import Limits
from genx_runtimes.serve.watch import Watch

_Found = TypeVar("_Found")
_Request = TypeVar("_Request")
Conditions = dict[str, int | float | str | list[float]]
# What takes longer than these is not done on the event loop.
_MANY, _MANY_DRAWS = 16384, 8


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
        format: `png` (a grid), `wav` (one after another), `npy`, `json`; None takes what fits the
            output.
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


def check_limits(model: ServedModel, request: SampleRequest, limits: Limits) -> int:
    """Return how many values a request takes; nothing is drawn before this.

    Raises:
        InputError: it asks for more than it may.
    """
    if request.n < 1:
        raise InputError(f"n is {request.n}, expected 1 or more")
    for name, value, most in (  # what is below 1 is refused by the loop itself
        ("n", request.n, limits.n),
        ("steps", request.steps or 1, limits.steps),
        ("length", request.length or 1, limits.length),
        ("prompt's length", len(request.prompt or ""), limits.length),
    ):
        if value > most:
            raise InputError(f"{name} is {value}, this server allows {most}")
    values = model.count_values(request.n, request.length)
    if values > limits.values:
        raise InputError(
            f"these samples hold {values} values, this server allows {limits.values}",
            fix="ask for fewer or shorter ones, or start it with more: --limit values=N",
        )
    return values


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


async def sample(
    model: ServedModel, request: SampleRequest, seed: int, limits: Limits, *, deadline: float
) -> Batch:
    """Answer a request, joined with others.

    Raises:
        InputError: an argument is wrong.
    """
    work = partial(draw, model, request, seed)
    conditioned = bool(request.conditions)
    return await make(model, work, request, limits, deadline=deadline, conditioned=conditioned)


async def make(
    model: ServedModel,
    drawing: Callable[[], Draw],
    request: SampleRequest,
    limits: Limits,
    *,
    deadline: float,
    conditioned: bool,
    draws: int = 1,
) -> Batch:
    """Make samples, joined with others.

    Args:
        model: that makes them.
        drawing: draws the inputs once there is room for them; many in the model's thread.
        request: how many, and what is asked of the loop.
        limits: of the request.
        deadline: see `find_deadline`.
        conditioned: whether the client fixed some of the inputs.
        draws: that `drawing` joins.

    Raises:
        InputError: it asks for more than it may, the inputs cannot be drawn, or conditions, where
            there are any, drive the model to NaN or infinity.
    """
    values = check_limits(model, request, limits) + len(request.prompt or "")
    few = values <= _MANY and draws <= _MANY_DRAWS
    try:
        return await model.sample(drawing, request.n, request.options, deadline=deadline, few=few)
    except NonFiniteError as err:
        if conditioned:
            raise InputError("these conditions drive the model to NaN or infinity") from err
        raise


async def watch(
    model: ServedModel, request: SampleRequest, seed: int, limits: Limits, *, deadline: float
) -> Watch:
    """Return what there is after each step of the loop, once the first is there.

    Raises:
        InputError: an argument is wrong, or it asks for more than it may, or than a call holds.
    """
    check_limits(model, request, limits)
    if request.n > model.max_batch:
        raise InputError(f"n is {request.n}, a stream makes {model.max_batch} at most")
    work = partial(draw, model, request, seed)
    return await model.watch(work, request.n, request.options, deadline=deadline)


def find_deadline(limits: Limits) -> float:
    """Return when a request that comes now is given up, on the loop's clock."""
    return asyncio.get_running_loop().time() + limits.seconds


async def elsewhere(values: int, work: Callable[..., _Found], *args: object) -> _Found:
    """Return what `work` does with so many values; in another thread if others would wait."""
    if values > _MANY:
        return await asyncio.to_thread(work, *args)
    return work(*args)


def list_items(batch: Batch) -> list[Any]:
    """Return each sample as JSON can hold it: PNG or WAV in base64, a text, or nested numbers."""
    if batch.spec.kind == "image":
        return [to_base64(encode_png(image)) for image in batch.images()]
    if batch.spec.kind == "audio":
        rate = batch.spec.sample_rate or 0
        return [to_base64(encode_wav(sound, rate)) for sound in batch.waves()]
    if batch.spec.kind == "text":
        return list(batch.texts())
    return list(np.asarray(batch.output).tolist())


def to_base64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")
