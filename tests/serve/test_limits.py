"""How large a request may be: counted before anything is drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from genx_runtimes import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.serve import wire
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.model import ServedModel, load
from genx_runtimes.serve.settings import Limits, ServeSettings
from genx_runtimes.serve.wire import SampleRequest


def run(test: Callable[[ServedModel], Awaitable[None]], path: Path) -> None:
    async def main() -> None:
        model = await load(open_bundle(path), ServeSettings(threads=1), Metrics())
        try:
            await test(model)
        finally:
            await model.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "length", "values"),
    [
        ("feedforward", None, 64),  # 1 x 8 x 8, of 8 latents and a class
        ("recurrent", None, 35),  # 7 elements of 5, of 7 x 3
        ("recurrent", 70, 350),
        ("recurrent", 1, 5),
        ("tokens", None, 12),
        ("tokens", 3, 3),
        ("pixels", None, 12),
        ("diffusion", None, 17),  # 1 x 4 x 4, and a class
        ("translate", None, 768),  # 3 x 16 x 16
    ],
)
def test_what_a_sample_counts(
    kind: str, length: int | None, values: int, bundles: dict[str, Path]
) -> None:
    async def test(model: ServedModel) -> None:
        assert model.count_values(1, length) == values
        assert model.count_values(9, length) == 9 * values

    run(test, bundles[kind])


def test_what_is_too_large_is_not_drawn(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(wire, "draw", lambda *args: drawn.append(args))

    async def test(model: ServedModel) -> None:
        deadline = asyncio.get_running_loop().time() + 60
        limits = Limits(values=100)
        for asked in (SampleRequest(n=3), SampleRequest(n=1, length=21)):
            for ask in (wire.sample, wire.watch):
                with pytest.raises(InputError, match="105 values, this server allows 100"):
                    await ask(model, asked, 0, limits, deadline=deadline)

    run(test, bundles["recurrent"])
    assert drawn == []
