"""Joining the samples of several requests into one call of the engine.

A sample depends on its seed and its index alone, so that what a request is answered does not depend
on what it was joined with. Samples of different conditions share a call; those of different loop
settings (steps, temperature ...) do not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.refusals import BusyError, DeadlineError, StoppingError
from genx_runtimes.session import Array

_FORGET_S = 0.5


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A request's samples on their way.

    Args:
        draw: all of them.
        options: of the sampling loop.
        deadline: on the loop's clock.
        answer: what the request waits for.
    """

    draw: Draw
    options: SamplingOptions
    deadline: float
    answer: asyncio.Future[Array]
    queued: float
    taken: int = 0
    waiting: int = 0
    parts: dict[int, Array] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Samples that no call has taken yet."""
        return len(self.draw.indices) - self.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of an engine: its samples, the seconds that each job waited, those that it took."""

    samples: int
    waited_s: tuple[float, ...]
    taken_s: float


class Batcher:
    """The queue of one bundle.

    Args:
        instances: that take from it.
        max_batch: samples of a call at most.
        max_delay_s: how long the oldest sample may wait for others while an instance is free.
        max_queue: samples that may wait.
        record: told of each call.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        *,
        max_batch: int,
        max_delay_s: float,
        max_queue: int,
        record: Callable[[CallRecord], None],
    ) -> None:
        self._instances = instances
        self._max_batch, self._max_delay_s = max_batch, max_delay_s
        self._max_queue, self._record = max_queue, record
        self._jobs: deque[Job] = deque()
        self._changed = asyncio.Event()
        self._outstanding: set[Job] = set()
        self._crowd = 0
        self._crowd_at = 0.0
        self._watching = 0
        self._stopping = False
        self._tasks = [asyncio.create_task(self._work(instance)) for instance in instances]

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return sum(job.left for job in self._jobs)

    @property
    def busy(self) -> bool:
        """Whether any request is waiting for samples."""
        return bool(self._outstanding or self._watching)

    async def submit(self, draw: Draw, options: SamplingOptions, *, deadline: float) -> Array:
        """Return the samples of a draw, (B, ...).

        Args:
            draw: the samples.
            options: of the sampling loop.
            deadline: on the loop's clock; what no call has taken by then is dropped.

        Raises:
            BusyError: the queue is full.
            DeadlineError: it waited too long.
            StoppingError: the bundle is being unloaded.
        """
        loop = asyncio.get_running_loop()
        count = len(draw.indices)
        if self._stopping:
            raise StoppingError("the model is being unloaded", retry_after_s=1)
        if self.queued + count > self._max_queue:
            raise BusyError(
                f"{self.queued} samples wait, the queue takes {self._max_queue}",
                fix="try again later, or ask for fewer",
                retry_after_s=1,
            )
        job = Job(
            draw=draw,
            options=options,
            deadline=deadline,
            answer=loop.create_future(),
            queued=loop.time(),
        )
        self._jobs.append(job)
        self._outstanding.add(job)
        self._note_crowd(loop.time())
        self._changed.set()
        timer = loop.call_at(deadline, _expire, job)
        try:
            return await job.answer
        finally:  # cancelled too: a client that went away takes its samples with it
            timer.cancel()
            self._outstanding.discard(job)
            if job in self._jobs:
                self._jobs.remove(job)

    async def watch(self, draw: Draw, options: SamplingOptions) -> AsyncIterator[Batch]:
        """Yield what there is after each step; the caller's end ends the loop after its step."""
        loop = asyncio.get_running_loop()
        instance = self._instances[self._watching % len(self._instances)]
        ended = False
        steps: asyncio.Queue[Batch | BaseException | None] = asyncio.Queue()

        def run() -> None:
            try:
                for batch in instance.watch(draw, options):
                    loop.call_soon_threadsafe(steps.put_nowait, batch)
                    if ended:
                        break
            except BaseException as err:
                loop.call_soon_threadsafe(steps.put_nowait, err)
            else:
                loop.call_soon_threadsafe(steps.put_nowait, None)

        self._watching += 1
        try:
            instance.submit(run)
            while (step := await steps.get()) is not None:
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            ended = True
            self._watching -= 1

    async def close(self) -> None:
        """Answer what is queued, then free the instances."""
        self._stopping = True
        while self.busy:
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(i.close) for i in self._instances))

    async def _work(self, instance: Instance) -> None:
        """Take calls from the queue for one instance, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gather(loop)
            taken = list(self._take())
            if not taken:
                continue
            draws = [job.draw.take(slice(first, first + count)) for job, first, count in taken]
            now = loop.time()
            try:
                made = instance.submit(instance.make, draws, taken[0][0].options)
                output, (began, ended) = await asyncio.wrap_future(made)
            except Exception as err:
                for job, _, _ in taken:
                    _fail(job, err)
                continue
            self._record(
                CallRecord(
                    samples=len(output),
                    waited_s=tuple(now - job.queued for job, first, _ in taken if not first),
                    taken_s=(ended - began) / 1e9,
                )
            )
            _share_out(output, taken)

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for samples; then, while more requests are about than wait here, a little for them.

        One client alone never waits: it has no other request that could come.
        """
        while not self._jobs:
            self._changed.clear()
            await self._changed.wait()
        until = self._jobs[0].queued + self._max_delay_s
        while self._jobs and len(self._jobs) < self._expect(loop.time()):
            left = until - loop.time()
            if left <= 0 or self.queued >= self._max_batch:
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                return

    def _note_crowd(self, now: float) -> None:
        """Remember how many requests were about at once, for half a second."""
        if len(self._outstanding) >= self._crowd or now - self._crowd_at > _FORGET_S:
            self._crowd, self._crowd_at = len(self._outstanding), now

    def _expect(self, now: float) -> int:
        """Return how many requests may come at once."""
        return self._crowd if now - self._crowd_at <= _FORGET_S else len(self._outstanding)

    def _take(self) -> Iterator[tuple[Job, int, int]]:
        """Take the samples of the next call: job, first sample, how many."""
        room = self._max_batch
        options: SamplingOptions | None = None
        for job in list(self._jobs):
            if job.answer.done():
                self._jobs.remove(job)
                continue
            if options is not None and job.options != options:
                continue
            options = job.options
            count = min(room, job.left)
            first, job.taken = job.taken, job.taken + count
            job.waiting += 1
            if not job.left:
                self._jobs.remove(job)
            yield job, first, count
            room -= count
            if not room:
                return


def _share_out(output: Array, taken: Sequence[tuple[Job, int, int]]) -> None:
    """Give each job its samples; one that has all is answered."""
    place = 0
    for job, first, count in taken:
        job.parts[first] = output[place : place + count]
        job.waiting -= 1
        place += count
        if not job.left and not job.waiting and not job.answer.done():
            parts = [job.parts[key] for key in sorted(job.parts)]
            job.answer.set_result(parts[0] if len(parts) == 1 else np.concatenate(parts))


def _fail(job: Job, err: BaseException) -> None:
    if not job.answer.done():
        job.answer.set_exception(err)


def _expire(job: Job) -> None:
    waited = time.monotonic() - job.queued
    _fail(job, DeadlineError(f"no answer within {waited:.1f} s; the work was dropped"))
