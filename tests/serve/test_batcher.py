"""The queue, with instances that compute when the test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest
from tests.serve.conftest import DIFFUSION, TINY

from genx_runtimes import open_bundle
from genx_runtimes.errors import BackendError
from genx_runtimes.manifest import NormalPrior, OutputSpec
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.batcher import Batcher, CallRecord
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.refusals import BusyError, DeadlineError

ONE = SamplingOptions()
FAR = 60.0
OUTPUT = OutputSpec(name="x", kind="tensor")
PRIOR = NormalPrior(name="z", shape=(2,))


class FakeInstance:
    """Answers each sample with its seed and index, once the gate is open; negative seeds fail."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.calls: list[list[tuple[int, int]]] = []
        self.options: list[SamplingOptions] = []
        self.gate = threading.Event()
        self.steps = 0
        if is_open:
            self.gate.set()
        self._thread = ThreadPoolExecutor(1)
        self.pending = 0

    def submit(self, work: Callable[..., Any], *args: object) -> Future[Any]:
        return self._thread.submit(work, *args)

    def make(self, draws: Sequence[Draw], options: SamplingOptions) -> tuple[Any, tuple[int, int]]:
        pairs = [pair for d in draws for pair in zip(d.seeds, d.indices, strict=True)]
        self.calls.append(pairs)
        self.options.append(options)
        assert self.gate.wait(30)
        if any(seed < 0 for seed, _ in pairs):
            raise BackendError("a negative seed")
        return np.asarray(pairs), (0, 2_000_000_000)

    def watch(self, draw: Draw, options: SamplingOptions) -> Iterator[Batch]:
        for _ in range(5):
            assert self.gate.wait(30)
            self.steps += 1
            yield Batch(start=0, feeds={}, output=np.asarray([draw.seeds]), spec=OUTPUT)

    def close(self) -> None:
        self._thread.shutdown()


def draw(seed: int, n: int = 1, start: int = 0) -> Draw:
    return Draw(
        seed=seed, indices=range(start, start + n), feeds={"z": np.zeros((n, 2), np.float32)}
    )


def run(
    test: Callable[[Batcher], Awaitable[None]],
    *instances: FakeInstance,
    max_batch: int = 4,
    max_delay_s: float = 30.0,
    max_queue: int = 100,
) -> list[CallRecord]:
    """Run a test on a batcher; a delay that is waited for fails it by the clock."""
    records: list[CallRecord] = []

    async def main() -> None:
        batcher = Batcher(
            cast("Sequence[Instance]", instances),
            max_batch=max_batch,
            max_delay_s=max_delay_s,
            max_queue=max_queue,
            record=records.append,
        )
        try:
            await asyncio.wait_for(test(batcher), 20)
        finally:
            for instance in instances:
                instance.gate.set()
            await batcher.close()

    asyncio.run(main())
    return records


def ask(
    batcher: Batcher, drawn: Draw, options: SamplingOptions = ONE, *, within: float = FAR
) -> asyncio.Task[Any]:
    work: Coroutine[Any, Any, Any] = batcher.submit(
        drawn, options, deadline=asyncio.get_running_loop().time() + within
    )
    return asyncio.create_task(work)


async def settle() -> None:
    """Let everything that can go on do so, the instance's thread too."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_one_client_alone_never_waits() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        for seed in range(5):
            assert (await ask(batcher, draw(seed))).tolist() == [[seed, 0]]

    run(test, instance)  # would take 150 s if each waited for others
    assert instance.calls == [[(seed, 0)] for seed in range(5)]


def test_requests_that_come_together_share_a_call() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        waiting = [ask(batcher, draw(seed, 2)) for seed in (5, 9)]
        found = [(await one).tolist() for one in waiting]
        assert found == [[[5, 0], [5, 1]], [[9, 0], [9, 1]]]

    (record,) = run(test, instance)
    assert instance.calls == [[(5, 0), (5, 1), (9, 0), (9, 1)]]
    assert (record.samples, len(record.waited_s), record.taken_s) == (4, 2, 2.0)


def test_what_is_left_of_a_crowd_is_waited_for() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        await asyncio.gather(*(ask(batcher, draw(seed)) for seed in range(3)))
        first, second = ask(batcher, draw(3)), ask(batcher, draw(4))
        await settle()
        assert len(instance.calls) == 1  # a third was about a moment ago
        third = ask(batcher, draw(5))
        await asyncio.gather(first, second, third)

    run(test, instance)
    assert [len(call) for call in instance.calls] == [3, 3]


def test_the_wait_is_bounded() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        await asyncio.gather(*(ask(batcher, draw(seed)) for seed in range(3)))
        await ask(batcher, draw(3))

    run(test, instance, max_delay_s=0.05)
    assert [len(call) for call in instance.calls] == [3, 1]


def test_a_full_batch_does_not_wait() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        await asyncio.gather(*(ask(batcher, draw(seed)) for seed in range(8)))
        await asyncio.gather(*(ask(batcher, draw(seed)) for seed in range(4)))

    run(test, instance)
    assert [len(call) for call in instance.calls] == [4, 4, 4]


def test_different_options_share_no_call() -> None:
    instance = FakeInstance(is_open=False)
    few, many = SamplingOptions(steps=2), SamplingOptions(steps=3)

    async def test(batcher: Batcher) -> None:
        waiting = [ask(batcher, draw(0))]
        await settle()
        waiting += [ask(batcher, draw(i), o) for i, o in enumerate((few, many, few, many), 1)]
        await settle()
        instance.gate.set()
        for seed, one in enumerate(waiting):
            assert (await one).tolist() == [[seed, 0]]

    run(test, instance, max_delay_s=0.01)
    assert instance.calls == [[(0, 0)], [(1, 0), (3, 0)], [(2, 0), (4, 0)]]
    assert instance.options == [ONE, few, many]


def test_many_samples_are_split_and_others_come_between() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        many = ask(batcher, draw(7, 18, start=3))
        await settle()
        one = ask(batcher, draw(8))
        await settle()
        instance.gate.set()
        assert (await one).tolist() == [[8, 0]]
        assert (await many).tolist() == [[7, i] for i in range(3, 21)]

    run(test, instance, max_delay_s=0.01)
    assert [len(call) for call in instance.calls] == [4, 4, 4, 4, 3]
    assert (8, 0) in instance.calls[2]


def test_a_full_queue_is_refused() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        waiting = ask(batcher, draw(1, 2))
        await settle()
        assert batcher.queued == 2
        with pytest.raises(BusyError, match="2 samples wait, the queue takes 3") as caught:
            await ask(batcher, draw(2, 2))
        assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
        third = ask(batcher, draw(3))
        await settle()
        instance.gate.set()
        await asyncio.gather(running, waiting, third)
        assert batcher.queued == 0

    run(test, instance, max_queue=3)


def test_what_is_late_is_dropped() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        with pytest.raises(DeadlineError, match="the work was dropped") as caught:
            await ask(batcher, draw(1), within=0.02)
        assert caught.value.status == 504
        assert batcher.queued == 0
        instance.gate.set()
        await running

    run(test, instance)
    assert instance.calls == [[(0, 0)]]


def test_a_client_that_goes_away_takes_its_samples_with_it() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        gone, stays = ask(batcher, draw(1)), ask(batcher, draw(2))
        await settle()
        gone.cancel()
        await settle()
        assert batcher.queued == 1
        instance.gate.set()
        await asyncio.gather(running, stays)

    run(test, instance, max_delay_s=0.01)
    assert instance.calls == [[(0, 0)], [(2, 0)]]


def test_one_that_goes_away_during_the_call_harms_no_other() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        gone, stays = ask(batcher, draw(1)), ask(batcher, draw(2))
        await settle()
        gone.cancel()
        await settle()
        instance.gate.set()
        assert (await stays).tolist() == [[2, 0]]

    run(test, instance)


def test_what_is_wrong_with_one_is_no_matter_of_the_others() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        good, bad, other = (ask(batcher, draw(seed)) for seed in (1, -1, 2))
        assert (await good).tolist() == [[1, 0]]
        assert (await other).tolist() == [[2, 0]]
        with pytest.raises(BackendError, match="a negative seed"):
            await bad
        assert (await ask(batcher, draw(3))).tolist() == [[3, 0]]

    run(test, instance, max_delay_s=0.01)


def test_instances_share_the_work() -> None:
    slow, quick = FakeInstance(is_open=False), FakeInstance()

    async def test(batcher: Batcher) -> None:
        waiting = [ask(batcher, draw(seed)) for seed in range(12)]
        await settle()
        slow.gate.set()
        for seed, one in enumerate(waiting):
            assert (await one).tolist() == [[seed, 0]]

    run(test, slow, quick)
    assert [len(call) for call in slow.calls] == [4]
    assert [len(call) for call in quick.calls] == [4, 4]


def test_a_loop_that_nobody_watches_ends() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        steps = batcher.watch(draw(4), ONE, deadline=asyncio.get_running_loop().time() + FAR)
        first = asyncio.ensure_future(anext(aiter(steps)))
        await settle()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await settle()
        instance.gate.set()
        await settle()

    run(test, instance)
    assert instance.steps <= 1


def test_a_watched_loop_is_told_whole_and_counted() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        deadline = asyncio.get_running_loop().time() + FAR
        assert len([step async for step in batcher.watch(draw(4, 3), ONE, deadline=deadline)]) == 5

    (record,) = run(test, instance)
    assert record.samples == 3


def test_a_watched_loop_that_begins_too_late_is_dropped() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        deadline = asyncio.get_running_loop().time()
        late = asyncio.ensure_future(
            anext(aiter(batcher.watch(draw(1), ONE, deadline=deadline - 1)))
        )
        await settle()
        instance.gate.set()
        with pytest.raises(DeadlineError):
            await late
        await running

    run(test, instance)
    assert instance.steps == 0


@pytest.mark.parametrize("path", [TINY, DIFFUSION], ids=["tiny", "diffusion"])
@pytest.mark.parametrize("options", [ONE], ids=["plain"])
def test_samples_are_the_same_whatever_they_share_a_call_with(
    path: Any, options: SamplingOptions
) -> None:
    """Latents bit for bit; samples within what one graph differs by at another batch size."""
    instance = Instance(
        open_bundle(path), backend="onnxruntime", precision=None, threads=1, batch=16, tell=print
    )
    sampler = instance.sampler
    draws = [
        sampler.draw(n, seed=seed, start=3, conditions={"label": seed % 3})
        for seed, n in ((1, 1), (2, 3), (3, 5), (4, 1))
    ]
    alone = [instance.make([one], options)[0] for one in draws]
    retried = [instance.make([one], options)[0] for one in draws]
    found: list[Any] = []

    async def main() -> None:
        batcher = Batcher(
            [instance], max_batch=4, max_delay_s=1.0, max_queue=99, record=lambda _: None
        )
        deadline = asyncio.get_running_loop().time() + FAR
        work = (batcher.submit(one, options, deadline=deadline) for one in draws)
        found.extend(await asyncio.gather(*work))
        await batcher.close()

    asyncio.run(main())
    for one, first, second, joined in zip(draws, alone, retried, found, strict=True):
        assert first.shape == joined.shape
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(joined, first, rtol=0, atol=1e-5)
        for name, drawn in one.feeds.items():
            again = np.concatenate(
                [one.take(slice(i, i + 1)).feeds[name] for i in range(len(drawn))]
            )
            np.testing.assert_array_equal(drawn, again)


def test_a_batch_below_the_engines_smallest_is_filled_up() -> None:
    instance = Instance(
        open_bundle(DIFFUSION),
        backend="onnxruntime",
        precision=None,
        threads=1,
        batch=16,
        tell=print,
    )
    alone, _ = instance.make([instance.sampler.draw(3, seed=4)], ONE)
    sizes: list[int] = []
    (session,) = instance.sampler.sessions.values()
    usual = session.run

    def note(feeds: Any) -> dict[str, Any]:
        sizes.append(len(next(iter(feeds.values()))))
        return usual(feeds)

    session.run = note  # type: ignore[method-assign]
    instance.__dict__["bounds"] = type(instance.bounds)(min=6, max=16)
    filled, _ = instance.make([instance.sampler.draw(3, seed=4)], ONE)
    watched = [b.output for b in instance.watch(instance.sampler.draw(3, seed=4), ONE)]
    instance.close()
    assert min(sizes) >= 6
    assert filled.shape == alone.shape
    np.testing.assert_allclose(filled, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(watched[-1], alone, rtol=0, atol=1e-5)
    assert {len(w) for w in watched} == {3}
