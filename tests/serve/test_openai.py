"""OpenAI's endpoints, asked by the `openai` package, unmodified."""

from __future__ import annotations

import base64
import io
import socket
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
from tests.serve.conftest import DIFFUSION, TINY, TOKENS, Server, Start

from genx_runtimes import open_bundle
from genx_runtimes.png import encode_png
from genx_runtimes.samplers.loop import SamplingOptions


def connect(server: Server, *, key: str = "none", retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.address}/v1", api_key=key, max_retries=retries)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with connect(server) as made:
        yield made


def draw_tiny(seed: int, label: str, index: int = 0) -> str:
    with open_bundle(TINY).sampler() as sampler:
        (batch,) = sampler.sample(1, seed=seed, start=index, conditions={"label": label})
    return base64.b64encode(encode_png(batch.images()[0])).decode()


def test_models(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == [
        "tiny",
        "tiny_tokens",
        "tiny_diffusion",
    ]
    assert client.models.retrieve("tiny").owned_by == "genx"
    with pytest.raises(openai.NotFoundError, match="did you mean 'tiny'"):
        client.models.retrieve("tony")


def test_images_of_a_seed(client: openai.OpenAI) -> None:
    extra = {"seed": 7, "conditions": {"label": "star"}}
    got = client.images.generate(prompt="", model="tiny", n=2, extra_body=extra)
    assert got.data is not None
    assert [image.b64_json for image in got.data] == [draw_tiny(7, "star", i) for i in (0, 1)]
    assert got.size == "8x8"
    again = client.images.generate(prompt="star", model="tiny", n=2, extra_body={"seed": 7})
    assert again.data == got.data


def test_a_seed_that_the_server_chose_is_told(client: openai.OpenAI) -> None:
    first = client.images.generate(prompt="wave", model="tiny")
    assert first.model_extra is not None
    seed = first.model_extra["seed"]
    second = client.images.generate(prompt="wave", model="tiny", extra_body={"seed": seed})
    assert first.data == second.data
    other = client.images.generate(prompt="wave", model="tiny")
    assert other.data != first.data


@pytest.mark.parametrize("partials", [0, 1, 3])
def test_partial_images(client: openai.OpenAI, partials: int) -> None:
    stream = client.images.generate(
        prompt="",
        model="tiny_diffusion",
        stream=True,
        partial_images=partials,
        extra_body={"seed": 3, "conditions": {"label": 1}},
    )
    events = list(stream)
    assert [e.type for e in events] == [
        *["image_generation.partial_image"] * partials,
        "image_generation.completed",
    ]
    assert [e.partial_image_index for e in events[:-1]] == list(range(partials))
    with open_bundle(DIFFUSION).sampler() as sampler:
        steps = list(sampler.watch(1, seed=3, conditions={"label": 1}))
    pictures = [base64.b64encode(encode_png(s.images()[0])).decode() for s in steps]
    assert events[-1].b64_json == pictures[-1]
    assert all(e.b64_json in pictures for e in events)
    whole = client.images.generate(
        prompt="1", model="tiny_diffusion", extra_body={"seed": 3, "steps": 5}
    )
    assert whole.data is not None
    assert whole.data[0].b64_json == pictures[-1]


def test_completions(client: openai.OpenAI) -> None:
    got = client.completions.create(
        model="tiny_tokens", prompt="a b", max_tokens=5, seed=4, n=2, temperature=0.9, echo=True
    )
    options = SamplingOptions(prompt="a b", length=5, temperature=0.9)
    with open_bundle(TOKENS).sampler() as sampler:
        (batch,) = sampler.sample(2, seed=4, options=options)
    assert [c.text for c in got.choices] == batch.texts()
    made = [list(row[3:]) for row in batch.output]
    ends = [row.index(0) + 1 if 0 in row else 5 for row in made]
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (3, sum(ends))
    assert [c.finish_reason for c in got.choices] == [
        "stop" if 0 in row else "length" for row in made
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_streamed_completion_is_the_whole_one(client: openai.OpenAI, seed: int) -> None:
    def ask(*, stream: bool):  # type: ignore[no-untyped-def]  # overloaded by stream
        return client.completions.create(
            model="tiny_tokens", prompt="the ", max_tokens=8, seed=seed, n=3, stream=stream
        )

    whole = ask(stream=False)
    texts, finishes = ["", "", ""], [None, None, None]
    for chunk in ask(stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            finishes[choice.index] = choice.finish_reason or finishes[choice.index]
    assert texts == [c.text for c in whole.choices]
    assert finishes == [c.finish_reason for c in whole.choices]


def test_the_usage_of_a_stream(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="tiny_tokens",
            prompt="a",
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    whole = client.completions.create(model="tiny_tokens", prompt="a", seed=1)
    assert chunks[-1].usage == whole.usage


def test_speech(serve: Start, tmp_path: Path) -> None:
    from tests.kinds import make_kind

    bundle = make_kind("audio", tmp_path)
    with connect(serve(bundle)) as client:
        sound = client.audio.speech.create(
            model="audio", voice="none", input="", response_format="wav", extra_body={"seed": 5}
        )
        with pytest.raises(openai.BadRequestError, match="'mp3', expected 'wav'"):
            client.audio.speech.create(model="audio", voice="x", input="", response_format="mp3")
        with pytest.raises(openai.BadRequestError, match="understands no prompt"):
            client.audio.speech.create(model="audio", voice="x", input="Hello")
    with wave.open(io.BytesIO(sound.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 2, 40)
        got = np.frombuffer(file.readframes(40), "<i2").reshape(40, 2)
    with open_bundle(bundle).sampler() as sampler:
        (batch,) = sampler.sample(1, seed=5)
    np.testing.assert_array_equal(got, batch.waves()[0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"prompt": "dog", "model": "tiny"}, "'dog' is no class of this model"),
        ({"prompt": "", "model": "tiny", "size": "1024x1024"}, "this model makes 8x8"),
        ({"prompt": "", "model": "tiny", "n": 11}, "n is 11, expected 1 to 10"),
        ({"prompt": "", "model": "tiny", "n": 0}, "n is 0, expected 1 to 10"),
        ({"prompt": "", "model": "tiny", "quality": "high"}, "quality is not supported"),
        ({"prompt": "", "model": "tiny", "partial_images": 2}, "partial_images is for streams"),
        ({"prompt": "", "model": "tiny", "response_format": "url"}, "expected 'b64_json'"),
        ({"prompt": "", "model": "tiny", "extra_body": {"sede": 1}}, "sede"),
        ({"prompt": "", "model": "tiny", "extra_body": {"seed": -1}}, "seed is -1"),
        ({"prompt": "", "model": "tiny", "extra_body": {"steps": 3}}, "no meaning"),
        ({"prompt": "", "model": "tiny_tokens"}, "makes text"),
        ({"prompt": ""}, "2 models make this"),
        ({"prompt": "", "model": "tiny_diffusion", "extra_body": {"steps": 1001}}, "allows 1000"),
    ],
)
def test_bad_requests(client: openai.OpenAI, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        client.images.generate(**arguments)  # type: ignore[call-overload]
    assert caught.value.type == "invalid_request_error"
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"prompt": "xyz"}, "not in the model's vocabulary"),
        ({"prompt": "a", "stop": "b"}, "stop is not supported"),
        ({"prompt": ["a", "b"]}, "2 prompts"),
        ({"prompt": "a", "logprobs": 2}, "logprobs is not supported"),
        ({"prompt": "a", "max_tokens": 99}, "looks back on 12"),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "give stream, or leave"),
        ({"prompt": "a", "n": 17, "stream": True}, "a stream makes 16 at most"),
    ],
)
def test_bad_completions(client: openai.OpenAI, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.completions.create(model="tiny_tokens", **arguments)  # type: ignore[call-overload]


def test_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="unknown model 'dall-e-3'"):
        client.images.generate(prompt="", model="dall-e-3")


def test_keys(serve: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# ours\nfirst-key-0123456789\n\nsecond-key-0123456789\n", encoding="utf-8")
    server = serve(TINY, "--api-key-file", keys)
    for key in ("first-key-0123456789", "second-key-0123456789"):
        with connect(server, key=key) as client:
            assert client.images.generate(prompt="", model="tiny").data
    for key in ("third-key-0123456789", "first-key-012345678", "x"):
        with (
            connect(server, key=key) as client,
            pytest.raises(openai.AuthenticationError, match="missing or wrong"),
        ):
            client.models.list()
    assert server.ask("GET", "/v2/health/ready").status == 200
    assert server.ask("GET", "/").status == 200
    for path in ("/metrics", "/openapi.json", "/v2", "/v1/contracts/tiny", "/nothing"):
        answer = server.ask("GET", path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
    assert server.ask("GET", "/v2", X_API_Key="first-key-0123456789").status == 200


def test_a_server_that_is_busy(serve: Start) -> None:
    server = serve(TINY, "--limit", "in_progress=1", "--limit", "queue=2")
    with connect(server) as client:
        with pytest.raises(openai.BadRequestError, match="n is 3, this server's queue takes 2"):
            client.images.generate(prompt="", model="tiny", n=3)
        assert client.images.generate(prompt="", model="tiny", n=2).data
    host, port = server.netloc.split(":")
    with socket.create_connection((host, int(port)), 30) as held:
        held.sendall(b"POST /v1/sample HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        server.wait_until(lambda: server.ask("GET", "/metrics").status == 429)
        with connect(server) as client, pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(prompt="", model="tiny")
        assert caught.value.response.headers["retry-after"] == "1"
