"""OpenAI's speech, for bundles that make sound: POST /v1/audio/speech.

Source: OpenAI API reference, "Audio".
"""

from __future__ import annotations

from contextlib import ExitStack

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.audio import encode_wav
from genx_runtimes.errors import InputError
from genx_runtimes.sampler import Batch
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import endpoint, while_connected
from genx_runtimes.serve.openai import pick, read_prompt, refuse_given
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.wire import Conditions, SampleRequest, choose_seed


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/audio/speech; a class's name is the `input`, or it is empty."""

    input: str = ""
    model: str | None = None
    voice: str | dict[str, str] | None = None
    instructions: str | None = None
    speed: float | None = None
    stream_format: str | None = None
    response_format: str | None = None
    seed: int | None = None
    conditions: Conditions = {}


def make_routes(repository: Repository) -> list[Route]:
    """Return the route of speech."""
    limits = repository.settings.limits

    async def speak(request: Request) -> Response:
        asked = wire.decode(await request.body(), SpeechRequest)
        deadline = wire.find_deadline(limits)
        with ExitStack() as held:
            model = await pick(repository, asked.model, held, "audio", deadline=deadline)
            if asked.response_format not in (None, "wav"):
                raise InputError(f"response_format is {asked.response_format!r}, expected 'wav'")
            refuse_given(
                {
                    "instructions": bool(asked.instructions),
                    "speed": asked.speed not in (None, 1),
                    "stream_format": asked.stream_format not in (None, "audio"),
                }
            )
            seed = choose_seed(asked.seed)
            conditions = read_prompt(model.manifest, asked.input, asked.conditions)
            wanted = SampleRequest(conditions=conditions)
            work = wire.sample(model, wanted, seed, limits, deadline=deadline)
            batch = await while_connected(request, work)
            data = await wire.elsewhere(batch.output.size, _encode, batch)
            return Response(data, media_type="audio/wav", headers={"x-genx-seed": str(seed)})

    return [Route("/v1/audio/speech", endpoint(speak), methods=["POST"], name="audio_speech")]


def _encode(batch: Batch) -> bytes:
    return encode_wav(batch.waves()[0], batch.spec.sample_rate or 0)
