"""The queue, with instances that compute when the test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest
from tests.serve.conftest import DIFFUSION

from genx_runtimes import open_bundle
from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.batcher import Batcher
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.interruption import DroppedError
from genx_runtimes.serve.jobs import CallRecord
from genx_runtimes.serve.refusals import BusyError, DeadlineError, StoppingError
from genx_runtimes.serve.watch import Watch

ONE = SamplingOptions()
FAR = 60.0
STEPS = 20
OUTPUT = OutputSpec(name="x", kind="tensor")


class FakeInstance:
    """Answers each sample with its seed and index, once the gate is open; negative seeds fail."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.calls: list[list[tuple[int, int]]] = []
        self.options: list[SamplingOptions] = []
        self.gate = threading.Event()
        self.steps = 0
        if is_open:
            self.gate.set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fake")

    def submit(
        self, work: Callable[..., Any], *args: object, wanted: Callable[[], bool]
    ) -> Future[Any]:
        def run() -> Any:
            if not wanted():
                raise DroppedError("nobody waits")
            return work(*args)

        return self._thread.submit(run)

    def make(self, draws: Sequence[Draw], options: SamplingOptions) -> tuple[Any, tuple[int, int]]:
        pairs = [pair for d in draws for pair in zip(d.seeds, d.indices, strict=True)]
        self.calls.append(pairs)
        self.options.append(options)
        assert self.gate.wait(30)
        if any(seed < 0 for seed, _ in pairs):
            raise BackendError("a negative seed")
        return wrap(pairs), (0, 2_000_000_000)

    def watch(self, draw: Draw, options: SamplingOptions) -> Iterator[Batch]:
        for _ in range(STEPS):
            assert self.gate.wait(30)
            self.steps += 1
            yield wrap([draw.seeds])

    def close(self) -> Future[None]:
        closed: Future[None] = self._thread.submit(lambda: None)
        self._thread.shutdown(wait=False)
        return closed


def wrap(rows: Any) -> Batch:
    return Batch(start=0, feeds={}, output=np.asarray(rows), spec=OUTPUT)


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
    return ask_for(batcher, lambda: drawn, len(drawn.indices), options, within=within)


def ask_for(
    batcher: Batcher,
    drawing: Callable[[], Draw],
    count: int,
    options: SamplingOptions = ONE,
    *,
    within: float = FAR,
    few: bool = False,
) -> asyncio.Task[Any]:
    deadline = asyncio.get_running_loop().time() + within

    async def work() -> Any:
        return (await batcher.submit(drawing, count, options, deadline=deadline, few=few)).output

    return asyncio.create_task(work())


def watch(batcher: Batcher, drawn: Draw, *, within: float = FAR) -> asyncio.Task[Watch]:
    deadline = asyncio.get_running_loop().time() + within
    work = batcher.watch(lambda: drawn, len(drawn.indices), ONE, deadline=deadline)
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


def test_no_more_samples_than_the_queue_takes() -> None:
    async def test(batcher: Batcher) -> None:
        for late in (ask(batcher, draw(0, 4)), watch(batcher, draw(0, 4))):
            with pytest.raises(InputError, match="n is 4, this server's queue takes 3"):
                await late

    run(test, FakeInstance(), max_queue=3)


def test_what_is_refused_is_not_drawn_and_what_is_admitted_is_in_the_instances_thread() -> None:
    instance = FakeInstance(is_open=False)
    threads: list[str] = []

    def drawing() -> Draw:
        threads.append(threading.current_thread().name)
        return draw(1, 2)

    async def test(batcher: Batcher) -> None:
        with pytest.raises(DeadlineError):
            await ask_for(batcher, drawing, 1, within=-1)
        running = ask(batcher, draw(0))
        await settle()
        assert threads == []
        waiting = ask_for(batcher, drawing, 2)
        await settle()
        with pytest.raises(BusyError):
            await ask_for(batcher, drawing, 2)
        assert threads == []
        instance.gate.set()
        await asyncio.gather(running, waiting)

    run(test, instance, max_queue=3, max_delay_s=0.01)
    assert len(threads) == 1
    assert threads[0].startswith("fake")


def test_a_few_are_drawn_while_the_instance_is_at_others_unless_they_are_refused() -> None:
    instance = FakeInstance(is_open=False)
    threads: list[threading.Thread] = []

    def drawing() -> Draw:
        threads.append(threading.current_thread())
        return draw(1, 2)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        waiting = ask_for(batcher, drawing, 2, few=True)
        await settle()
        assert threads == [threading.main_thread()]
        with pytest.raises(BusyError):
            await ask_for(batcher, drawing, 2, few=True)
        instance.gate.set()
        await asyncio.gather(running, waiting)

    run(test, instance, max_queue=3, max_delay_s=0.01)
    assert len(threads) == 1


@pytest.mark.parametrize("few", [True, False])
def test_what_cannot_be_drawn_is_no_matter_of_the_others(few: bool) -> None:
    instance = FakeInstance()

    def fail() -> Draw:
        raise InputError("a wrong condition")

    async def test(batcher: Batcher) -> None:
        good, bad, other = (
            ask(batcher, draw(1)),
            ask_for(batcher, fail, 1, few=few),
            ask(batcher, draw(2)),
        )
        assert (await good).tolist() == [[1, 0]]
        assert (await other).tolist() == [[2, 0]]
        with pytest.raises(InputError, match="a wrong condition"):
            await bad

    run(test, instance)
    assert instance.calls == [[(1, 0), (2, 0)]]  # once, and together


def test_a_loop_that_nobody_watches_ends() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        first = watch(batcher, draw(4))
        await settle()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await settle()
        instance.gate.set()
        assert (await ask(batcher, draw(5))).tolist() == [[5, 0]]

    run(test, instance)
    assert instance.steps <= 1


def test_a_watched_loop_is_told_whole_and_counted() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        assert len([step async for step in await watch(batcher, draw(4, 3))]) == STEPS

    (record,) = run(test, instance)
    assert record.samples == 3


def test_a_loop_waits_for_a_client_that_is_slow() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        steps = await watch(batcher, draw(4))
        await settle()
        assert instance.steps <= 3  # two on their way, one made
        assert len([step async for step in steps]) == STEPS

    run(test, instance)
    assert instance.steps == STEPS


def test_a_client_that_goes_away_frees_the_engine() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        steps = await watch(batcher, draw(4))
        await settle()
        steps.close()
        assert (await ask(batcher, draw(5))).tolist() == [[5, 0]]

    assert [r.samples for r in run(test, instance)] == [1]
    assert instance.steps <= 3


def test_a_watched_loop_ends_with_an_error_at_its_deadline_and_frees_the_engine() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        steps = await watch(batcher, draw(4))
        await anext(steps)
        (job,) = batcher._outstanding
        job.expire()  # as the clock does
        assert (await ask(batcher, draw(5))).tolist() == [[5, 0]]  # nobody takes the other steps
        with pytest.raises(DeadlineError, match="the work was dropped"):
            async for _ in steps:
                pass

    run(test, instance)
    assert instance.steps < STEPS


def test_a_watched_loop_that_is_late_is_told_at_its_deadline() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        with pytest.raises(DeadlineError):
            await watch(batcher, draw(1), within=0.01)  # while the engine is at work
        assert batcher.queued == 0
        instance.gate.set()
        await running

    run(test, instance)
    assert instance.steps == 0


def test_watched_loops_wait_in_the_same_queue() -> None:
    instance = FakeInstance(is_open=False)

    async def test(batcher: Batcher) -> None:
        running = ask(batcher, draw(0))
        await settle()
        waiting = watch(batcher, draw(1, 2))
        await settle()
        assert batcher.queued == 2
        for late in (watch(batcher, draw(2, 2)), ask(batcher, draw(2, 2))):
            with pytest.raises(BusyError, match="2 samples wait, the queue takes 3"):
                await late
        instance.gate.set()
        await running
        (await waiting).close()

    run(test, instance, max_queue=3)


def test_samples_do_not_wait_for_an_instance_that_is_watched() -> None:
    slow, quick = FakeInstance(), FakeInstance()

    async def test(batcher: Batcher) -> None:
        steps = await watch(batcher, draw(0))
        watched = slow if slow.steps else quick
        for seed in range(1, 9):
            assert (await ask(batcher, draw(seed))).tolist() == [[seed, 0]]
        assert watched.calls == []
        steps.close()

    run(test, slow, quick)


def test_what_shares_no_call_comes_between_the_parts_of_a_large_request() -> None:
    instance = FakeInstance(is_open=False)
    order: list[int] = []

    async def test(batcher: Batcher) -> None:
        many = ask(batcher, draw(7, 12))
        await settle()
        deadline = asyncio.get_running_loop().time() + FAR
        work = batcher.run(lambda _: order.append(len(instance.calls)), deadline=deadline)
        lone = asyncio.create_task(work)
        await settle()
        instance.gate.set()
        await asyncio.gather(many, lone)

    run(test, instance, max_delay_s=0.0)
    assert order == [2]
    assert len(instance.calls) == 3


def test_the_end_drops_what_waits_and_what_runs() -> None:
    instance = FakeInstance()

    async def test(batcher: Batcher) -> None:
        steps = await watch(batcher, draw(4))
        waiting = ask(batcher, draw(1))
        await settle()
        batcher.stop()
        for late in (waiting, ask(batcher, draw(2))):
            with pytest.raises(StoppingError):
                await late
        with pytest.raises(StoppingError):
            async for _ in steps:
                pass

    run(test, instance)
    assert instance.calls == []
    assert instance.steps < STEPS


def test_a_batch_below_the_engines_smallest_is_filled_up() -> None:
    instance = Instance(
        open_bundle(DIFFUSION),
        backend="onnxruntime",
        precision=None,
        threads=1,
        batch=16,
        tell=print,
    )
    alone = instance.make([instance.sampler.draw(3, seed=4)], ONE)[0].output
    sizes: list[int] = []
    (session,) = instance.sampler.sessions.values()
    usual = session.run

    def note(feeds: Any) -> dict[str, Any]:
        sizes.append(len(next(iter(feeds.values()))))
        return usual(feeds)

    session.run = note  # type: ignore[method-assign]
    instance.__dict__["bounds"] = type(instance.bounds)(min=6, max=16)
    filled = instance.make([instance.sampler.draw(3, seed=4)], ONE)[0].output
    watched = [b.output for b in instance.watch(instance.sampler.draw(3, seed=4), ONE)]
    instance.close()
    assert min(sizes) >= 6
    assert filled.shape == alone.shape
    np.testing.assert_allclose(filled, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(watched[-1], alone, rtol=0, atol=1e-5)
    assert {len(w) for w in watched} == {3}
