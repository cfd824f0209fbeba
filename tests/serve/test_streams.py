"""How a stream of events ends: whole, with an error, or because its client goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import numpy as np
import pytest

from genx_runtimes.manifest import OutputSpec
from genx_runtimes.sampler import Batch
from genx_runtimes.serve import completions, images, sampling
from genx_runtimes.serve.answers import EventStream
from genx_runtimes.serve.jobs import too_late
from genx_runtimes.serve.watch import Watch
from genx_runtimes.serve.wire import SampleRequest

TEXT = OutputSpec(name="text", kind="text", vocabulary=("", "a", "b", "the"))
GREY = OutputSpec(name="x", kind="image", range=(0.0, 1.0), layout="NHW")
HTTP = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def tell(steps: list[Batch], err: Exception | None = None) -> AsyncIterator[Batch]:
    for step in steps:
        yield step
    if err is not None:
        raise err


def watch(*steps: Any, spec: OutputSpec, late: bool) -> Watch:
    batches = [Batch(start=0, feeds={}, output=np.asarray(s), spec=spec, stop=(0,)) for s in steps]
    return cast("Watch", tell(batches, too_late() if late else None))


def collect(events: AsyncGenerator[bytes]) -> list[str]:
    async def main() -> list[str]:
        return [event.decode() async for event in events]

    return asyncio.run(main())


@pytest.mark.parametrize("late", [False, True])
def test_the_last_event_tells_how_it_ended(late: bool) -> None:
    picture = np.zeros((1, 2, 2), np.float32)
    found = collect(sampling._stream(watch(picture, picture, spec=GREY, late=late), 7))
    names = [event.splitlines()[0] for event in found]
    assert names == ["event: step"] * 2 + ["event: error" if late else "event: done"]
    steps = watch(picture, spec=GREY, late=late)
    found = collect(images._stream(steps, 1, partials=0, told={"created": 1}))
    assert found[-1].startswith("event: error" if late else "event: image_generation.completed")
    assert len(found) == 1
    assert all("504" not in event for event in found)


@pytest.mark.parametrize("late", [False, True])
def test_texts_are_told_as_they_grow(late: bool) -> None:
    steps = ([[1, 3], [1, 1]], [[1, 3, 2], [1, 1, 0]], [[1, 3, 2, 3], [1, 1, 0, 0]])
    asked = SampleRequest(n=2, prompt="a")
    found = collect(
        completions._stream(
            watch(*steps, spec=TEXT, late=late), asked, told={}, shown="", counts=True
        )
    )
    values = [event.removeprefix("data: ").strip() for event in found]
    choices = [c for v in values if v != "[DONE]" for c in json.loads(v).get("choices", [])]
    texts = [(c["index"], c["text"]) for c in choices if c["finish_reason"] is None]
    assert texts == [(0, "the"), (1, "a"), (0, "b"), (0, "the")]
    if late:
        assert "the work was dropped" in json.loads(values[-1])["error"]["message"]
        return
    assert [c["finish_reason"] for c in choices[4:]] == ["length", "stop"]
    assert json.loads(values[-2])["usage"]["completion_tokens"] == 3 + 2
    assert values[-1] == "[DONE]"


def test_a_client_that_goes_away_ends_the_work() -> None:
    closed: list[bool] = []

    async def events() -> AsyncGenerator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        stream = EventStream(events(), lambda: closed.append(True))
        await asyncio.wait_for(stream(HTTP, receive, send), 20)

    asyncio.run(main())
    assert closed == [True]
