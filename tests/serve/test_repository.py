"""Which models are in memory, and what a request waits for, with models that load when told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import DIFFUSION, TINY, TOKENS

from genx_runtimes import open_bundle
from genx_runtimes.errors import BundleError
from genx_runtimes.serve import repository as module
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.refusals import DeadlineError, StoppingError
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.settings import ServeSettings

SIZE = 100
PATHS = {"tiny": TINY, "tiny_tokens": TOKENS, "tiny_diffusion": DIFFUSION}


class FakeModel:
    """Holds some bytes until it may close."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held_bytes = SIZE
        self.grown: Callable[[], None] = lambda: None
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.is_stopped = self.is_closed = False

    def stop(self) -> None:
        self.is_stopped = True

    async def close(self) -> None:
        await self.may_close.wait()
        self.is_closed = True


class Loads:
    """Takes the place of `load`."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.broken: set[str] = set()

    async def __call__(self, bundle: Any, settings: object, metrics: object) -> FakeModel:
        name = bundle.manifest.name
        self.began.append(name)
        await self.may_go_on.wait()
        if name in self.broken:
            raise BundleError(f"{name} is broken")
        return FakeModel(name)


def run(
    test: Callable[[Repository, Loads], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    *names: str,
    memory: int | None = None,
) -> None:
    async def main() -> None:
        loads = Loads()
        monkeypatch.setattr(module, "load", loads)
        bundles = [open_bundle(PATHS[name]) for name in names]
        settings = ServeSettings(memory_bytes=memory, watch_s=0.01)
        await asyncio.wait_for(test(Repository(bundles, settings, Metrics()), loads), 20)

    asyncio.run(main())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


def near() -> float:
    return asyncio.get_running_loop().time() + 0.02


def list_loaded(repository: Repository) -> set[str]:
    return {name for name, entry in repository.entries.items() if entry.model}


def test_a_request_waits_for_loading_until_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        loads.may_go_on.clear()
        with pytest.raises(DeadlineError):
            await repository.get("tiny", deadline=near())
        patient = [asyncio.create_task(repository.get("tiny")) for _ in range(3)]
        gone = asyncio.create_task(repository.get("tiny"))
        await settle()
        gone.cancel()
        loads.may_go_on.set()
        assert len({id(await one) for one in patient}) == 1
        assert loads.began == ["tiny"]  # it went on for the others

    run(test, monkeypatch, "tiny")


def test_models_that_answer_their_last_requests_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        first: Any = await repository.get("tiny")
        first.may_close.clear()  # a request uses it
        await repository.get("tiny_tokens")  # 200 of 250
        await repository.get("tiny_diffusion")  # the first is unloaded, and still there
        assert list_loaded(repository) == {"tiny_tokens", "tiny_diffusion"}
        with pytest.raises(DeadlineError):
            await repository.get("tiny", deadline=near())
        assert len(loads.began) == 3
        first.may_close.set()
        await repository.get("tiny")
        assert first.is_closed

    run(test, monkeypatch, *PATHS, memory=250)


def test_what_a_model_loads_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        await repository.get("tiny")
        second: Any = await repository.get("tiny_tokens")
        assert list_loaded(repository) == {"tiny", "tiny_tokens"}
        second.held_bytes += SIZE  # a component that was asked for
        second.grown()
        assert list_loaded(repository) == {"tiny_tokens"}
        text = repository.metrics.render().decode()
        assert f'genx_model_memory_bytes{{model="tiny_tokens"}} {2 * SIZE}.0' in text

    run(test, monkeypatch, "tiny", "tiny_tokens", memory=250)


def test_a_model_whose_file_is_broken_is_not_unloaded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        first = await repository.get("tiny")
        loads.broken.add("tiny")
        with pytest.raises(StoppingError):
            await repository.load("tiny")
        await repository.get("tiny_tokens")
        assert await repository.get("tiny") is first  # it could not be had again
        assert repository.ready
        await repository.get("tiny_tokens")

    with caplog.at_level(logging.CRITICAL, "genx.serve"):
        run(test, monkeypatch, "tiny", "tiny_tokens", memory=150)


def test_a_file_that_cannot_be_read_for_a_moment_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tiny_copy: Path
) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        hidden = tiny_copy.with_suffix(".hidden")
        tiny_copy.rename(hidden)
        with pytest.raises(StoppingError):
            await repository.get("tiny")
        assert not repository.ready
        hidden.rename(tiny_copy)  # the same bundle, the same digest
        watching = asyncio.create_task(repository.watch())
        while not repository.ready:
            await asyncio.sleep(0.01)
        watching.cancel()
        await repository.get("tiny")

    monkeypatch.setitem(PATHS, "tiny", tiny_copy)
    run(test, monkeypatch, "tiny")


def test_what_is_unloaded_while_its_file_is_looked_at_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        await repository.get("tiny")
        repository.entries["tiny"].rejected = "another digest"  # its file looks changed
        unloading = asyncio.create_task(repository.unload("tiny"))
        await repository._loading.acquire()  # whoever looks at the file now comes second
        watching = asyncio.create_task(repository.watch())
        while len(repository._loading._waiters or ()) < 2:
            await asyncio.sleep(0.01)
        repository._loading.release()
        await unloading
        await asyncio.sleep(0.05)
        watching.cancel()
        assert loads.began == ["tiny"]
        assert list_loaded(repository) == set()

    run(test, monkeypatch, "tiny")


def test_the_end_drops_work_and_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(repository: Repository, loads: Loads) -> None:
        stuck: Any = await repository.get("tiny")
        stuck.may_close.clear()
        loads.may_go_on.clear()
        loading = asyncio.create_task(repository.get("tiny_tokens"))
        await settle()
        await repository.close()
        assert stuck.is_stopped
        assert not stuck.is_closed
        assert (await asyncio.gather(loading, return_exceptions=True))[0] is not None
        with pytest.raises(StoppingError):
            await repository.get("tiny_diffusion")

    monkeypatch.setattr(module, "_CLOSE_S", 0.05)
    with caplog.at_level(logging.WARNING, "genx.serve"):
        run(test, monkeypatch, *PATHS)
    assert "1 models are still at work" in caplog.text
