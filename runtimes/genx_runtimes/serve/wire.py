"""Requests and answers of genx's own endpoint, and what every endpoint needs of a request."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import Any, TypeVar

import msgspec
import numpy as np

from genx_runtimes.audio import encode_wav
from genx_runtimes.errors import InputError
from genx_runtimes.png import encode_png
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.sampling_specs import TokensSpec
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.settings import Limits
from genx_runtimes.session import Array

_Request = TypeVar("_Request")


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
    conditions: dict[str, int | float | str | list[float]] = {}
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


def decode(data: bytes, kind: type[_Request]) -> _Request:
    """Parse a request's JSON.

    Raises:
        InputError: not JSON, or not what is expected; the message names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise InputError(f"the body is not what is expected: {err}") from err


def check_limits(request: SampleRequest, limits: Limits) -> None:
    """Raise InputError where a request asks for more than it may."""
    for name, value, most in (
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
    """Answer a request, joined with others."""
    check_limits(request, limits)
    drawn = draw(model, request, seed)
    output = await model.sample(drawn, request.options, deadline=find_deadline(limits))
    return wrap(model, drawn, output)


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


def to_items(batch: Batch) -> list[Any]:
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
