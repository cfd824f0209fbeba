"""Work that nobody waits for ends at its next step, of every kind of loop."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genx_runtimes import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.interruption import DroppedError, InterruptibleSession
from genx_runtimes.session import run_batches

LOOPS = {
    "recurrent": SamplingOptions(),
    "tokens": SamplingOptions(),
    "pixels": SamplingOptions(),
    "diffusion": SamplingOptions(steps=5),
}


@contextmanager
def load(path: Path) -> Iterator[tuple[Instance, list[int]]]:
    """Yield an instance, and the sizes of all runs of its engines."""
    instance = Instance(
        open_bundle(path),
        backend="onnxruntime",
        precision=None,
        threads=1,
        batch=16,
        tell=print,
    )
    sizes: list[int] = []
    for wrapped in instance.sampler.sessions.values():
        engine: Any = wrapped._session  # type: ignore[attr-defined]
        engine.run = note_runs(engine.run, sizes)
    try:
        yield instance, sizes
    finally:
        instance.close().result(30)


def note_runs(run: Callable[[Any], Any], sizes: list[int]) -> Callable[[Any], Any]:
    def noted(feeds: Any) -> Any:
        sizes.append(len(next(iter(feeds.values()))))
        return run(feeds)

    return noted


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_ends_between_two_steps(kind: str, bundles: dict[str, Path]) -> None:
    with load(bundles[kind]) as (instance, runs):
        drawn = instance.sampler.draw(8)  # texts do not all end at once
        made = instance.submit(instance.make, [drawn], LOOPS[kind], wanted=lambda: len(runs) < 3)
        with pytest.raises(DroppedError):
            made.result(30)
        assert len(runs) == 3
        instance.submit(instance.make, [drawn], LOOPS[kind]).result(30)  # it can go on
        assert len(runs) > 6


def test_a_pass_that_nobody_waits_for_does_not_begin(bundles: dict[str, Path]) -> None:
    with load(bundles["feedforward"]) as (instance, runs):
        drawn = instance.sampler.draw(8)  # texts do not all end at once
        with pytest.raises(DroppedError):
            work = instance.submit(instance.make, [drawn], SamplingOptions(), wanted=lambda: False)
            work.result(30)
        assert runs == []


def test_an_engine_that_feeds_ahead_is_fed_what_is_wanted() -> None:
    class Engine:
        def run_batches(self, batches: Any) -> Any:
            for feeds in batches:
                fed.append(1)
                yield feeds

    def check() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise DroppedError("nobody waits")

    asked: list[int] = []
    fed: list[int] = []
    engine: Any = Engine()
    made = run_batches(InterruptibleSession(engine, check), [{"z": np.zeros(1)}] * 3)
    next(made)
    with pytest.raises(DroppedError):
        next(made)
    assert len(fed) == 1


def encode_picture(height: int, width: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_translation_ends_between_two_batches_of_tiles(bundles: dict[str, Path]) -> None:
    with load(bundles["translate"]) as (instance, runs):
        data = encode_picture(64, 64)
        instance.submit(instance.translate, data, 0, 10**6).result(30)
        whole = len(runs)
        assert whole > 3
        runs.clear()
        work = instance.submit(instance.translate, data, 0, 10**6, wanted=lambda: len(runs) < 2)
        with pytest.raises(DroppedError):
            work.result(30)
        assert len(runs) == 2


def test_the_bound_of_pixels_holds_for_what_a_picture_becomes(bundles: dict[str, Path]) -> None:
    with load(bundles["translate"]) as (instance, runs):
        data = encode_picture(10, 10)  # becomes 20 x 20
        made = instance.translate(data, 0, 400)
        assert Image.open(io.BytesIO(made)).size == (20, 20)
        runs.clear()
        with pytest.raises(InputError, match="has 100 pixels, 99 are allowed"):
            instance.translate(data, 0, 399)
        assert runs == []
