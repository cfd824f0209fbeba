"""The answer to a request, of every kind of loop, is the same whatever it shared a call with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from genx_runtimes import open_bundle
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.batcher import Batcher
from genx_runtimes.serve.instance import Instance

# What one graph differs by at another batch size, in float32; tokens and pixels are drawn alike.
CLOSE = 1e-5
KINDS = {
    "feedforward": SamplingOptions(),
    "recurrent": SamplingOptions(length=5),
    "tokens": SamplingOptions(prompt="a", temperature=1.5),
    "pixels": SamplingOptions(temperature=1.5),
    "diffusion": SamplingOptions(solver="ddpm", steps=4, guidance=1.5),
    "translate": SamplingOptions(),
}
# Seeds, first samples and how many: one has more than a call holds.
ASKED = ((1, 0, 1), (2, 3, 3), (1, 5, 6), (4, 0, 1))


def draw_all(instance: Instance, options: SamplingOptions) -> list[Draw]:
    sampler = instance.sampler
    labelled = any(prior.name == "label" for prior in sampler.manifest.priors)
    return [
        sampler.draw(
            n,
            seed=seed,
            start=start,
            conditions={"label": seed % 3} if labelled else {},
            options=options,
        )
        for seed, start, n in ASKED
    ]


def sample_together(
    instance: Instance, draws: list[Draw], options: SamplingOptions
) -> tuple[list[Batch], list[int]]:
    """Return the answers to requests that come at once, and how many samples each call had."""
    calls: list[int] = []

    async def main() -> list[Batch]:
        batcher = Batcher(
            [instance],
            max_batch=4,
            max_delay_s=1.0,
            max_queue=99,
            record=lambda call: calls.append(call.samples),
        )
        deadline = asyncio.get_running_loop().time() + 60
        work = (
            batcher.submit(lambda o=one: o, len(one.indices), options, deadline=deadline)  # type: ignore[misc]
            for one in draws
        )
        try:
            return await asyncio.gather(*work)
        finally:
            await batcher.close()

    return asyncio.run(main()), calls


@pytest.mark.parametrize("kind", KINDS)
def test_samples_alone_and_together(kind: str, bundles: dict[str, Path]) -> None:
    options = KINDS[kind]
    instance = Instance(
        open_bundle(bundles[kind]),
        backend="onnxruntime",
        precision=None,
        threads=1,
        batch=16,
        tell=print,
    )
    draws = draw_all(instance, options)
    alone = [instance.make([one], options)[0].output for one in draws]
    again = [instance.make([one], options)[0].output for one in draws]
    joined, calls = sample_together(instance, draws, options)
    assert calls == [4, 4, 3]
    for one, first, second, batch in zip(draws, alone, again, joined, strict=True):
        np.testing.assert_array_equal(first, second)
        assert (batch.output.shape, batch.output.dtype) == (first.shape, first.dtype)
        if kind in ("tokens", "pixels"):
            np.testing.assert_array_equal(batch.output, first)
        else:
            np.testing.assert_allclose(batch.output, first, rtol=0, atol=CLOSE)
        assert batch.start == one.indices[0]
        assert set(batch.feeds) == set(one.feeds)
        for name, drawn in one.feeds.items():
            rows = [one.take(slice(i, i + 1)).feeds[name] for i in range(len(drawn))]
            np.testing.assert_array_equal(drawn, np.concatenate(rows))
    # What were the same for all samples could not be told apart in a call.
    assert len({row.tobytes() for row in alone[2]}) > 1
