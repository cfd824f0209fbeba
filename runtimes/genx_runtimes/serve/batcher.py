"""Joining the samples of several requests into one call of the engine.

A sample depends on its seed and its index alone, so that what a request is answered does not depend
on what it was joined with. Samples of different conditions share a call; those of different loop
settings (steps, temperature ...) do not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.refusals import BusyError, DeadlineError
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
        self._queued = 0
        self._changed = asyncio.Event()
        self._outstanding: set[Job] = set()
        self._crowd = 0
        self._crowd_at = 0.0
        self._tasks = [asyncio.create_task(self._work(instance)) for instance in instances]

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return self._queued

    async def submit(self, draw: Draw, options: SamplingOptions, *, deadline: float) -> Array:
        """Return the samples of a draw, (B, ...).

        Args:
            draw: the samples.
            options: of the sampling loop.
            deadline: on the loop's clock; what no call has taken by then is dropped.

        Raises:
            BusyError: the queue is full.
            DeadlineError: it waited too long.
        """
        loop = asyncio.get_running_loop()
        count = len(draw.indices)
        if self._queued + count > self._max_queue:
            raise BusyError(
                f"{self._queued} samples wait, the queue takes {self._max_queue}",
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
        self._queued += count
        self._outstanding.add(job)
        self._note_crowd(job.queued)
        if len(self._jobs) == 1 or self._is_due(job.queued):
            self._changed.set()
        timer = loop.call_at(deadline, _expire, job, loop)
        try:
            return await job.answer
        finally:  # cancelled too: a client that went away takes its samples with it
            timer.cancel()
            self._outstanding.discard(job)
            if job in self._jobs:
                self._remove(job)

    async def watch(
        self, draw: Draw, options: SamplingOptions, *, deadline: float
    ) -> AsyncIterator[Batch]:
        """Yield what there is after each step; the caller's end ends the loop after its step.

        Raises:
            DeadlineError: no engine was free until then.
        """
        loop = asyncio.get_running_loop()
        instance = min(self._instances, key=lambda i: i.pending)
        queued, ended = loop.time(), False
        steps: asyncio.Queue[Batch | BaseException | None] = asyncio.Queue()

        def tell(step: Batch | BaseException | CallRecord | None) -> None:
            if isinstance(step, CallRecord):
                self._record(step)
            else:
                steps.put_nowait(step)

        def run() -> None:
            began = loop.time()
            try:
                if ended:
                    return
                if began > deadline:
                    raise too_late(queued, began)
                for batch in instance.watch(draw, options):
                    loop.call_soon_threadsafe(tell, batch)
                    if ended:
                        return
                record = CallRecord(
                    samples=len(draw.indices),
                    waited_s=(began - queued,),
                    taken_s=loop.time() - began,
                )
                loop.call_soon_threadsafe(tell, record)
            except BaseException as err:
                loop.call_soon_threadsafe(tell, err)
            else:
                loop.call_soon_threadsafe(tell, None)

        work = instance.submit(run)
        try:
            while (step := await steps.get()) is not None:
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            ended = True
            work.cancel()

    async def close(self) -> None:
        """Free the instances; nothing is asked of them any more."""
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
            try:
                await self._call(instance, taken)
            except Exception as err:
                if len(taken) == 1:
                    _fail(taken[0].job, err)
                    continue
                for share in taken:  # what is wrong with one is no matter of the others
                    if share.job.answer.done():
                        continue
                    try:
                        await self._call(instance, [share])
                    except Exception as own:
                        _fail(share.job, own)

    async def _call(self, instance: Instance, taken: Sequence[Share]) -> None:
        """Make samples that were taken in one call."""
        now = asyncio.get_running_loop().time()
        draws = [share.draw for share in taken]
        made = instance.submit(instance.make, draws, taken[0].job.options)
        output, (began, ended) = await asyncio.wrap_future(made)
        self._record(
            CallRecord(
                samples=len(output),
                waited_s=tuple(now - share.job.queued for share in taken if not share.first),
                taken_s=(ended - began) / 1e9,
            )
        )
        _share_out(output, taken)

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for samples; then, while fewer requests are about than were lately, for more.

        One client alone never waits: it has no other request that could come.
        """
        while not self._is_due(loop.time()):
            self._changed.clear()
            timer = None
            if self._jobs:
                timer = loop.call_at(self._jobs[0].queued + self._max_delay_s, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _is_due(self, now: float) -> bool:
        """Return whether a call is to be made of what waits."""
        return bool(self._jobs) and (
            len(self._outstanding) >= self._expect(now)
            or self._queued >= self._max_batch
            or now >= self._jobs[0].queued + self._max_delay_s
        )

    def _note_crowd(self, now: float) -> None:
        """Remember how many requests were about at once, for half a second."""
        if len(self._outstanding) >= self._crowd or now - self._crowd_at > _FORGET_S:
            self._crowd, self._crowd_at = len(self._outstanding), now

    def _expect(self, now: float) -> int:
        """Return how many requests may come at once."""
        return self._crowd if now - self._crowd_at <= _FORGET_S else len(self._outstanding)

    def _take(self) -> Iterator[Share]:
        """Take the samples of the next call.

        A request for more than a call holds comes after the others with the rest of it.
        """
        room = self._max_batch
        options: SamplingOptions | None = None
        for job in list(self._jobs):
            if not room:
                return
            if job.answer.done():
                self._remove(job)
                continue
            if options is not None and job.options != options:
                continue
            options = job.options
            self._remove(job)
            first, count = job.taken, min(room, job.left)
            job.taken += count
            job.waiting += 1
            if job.left:
                self._jobs.append(job)
                self._queued += job.left
            room -= count
            yield Share(job=job, first=first, count=count)

    def _remove(self, job: Job) -> None:
        self._jobs.remove(job)
        self._queued -= job.left


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The samples of a request that one call makes, from its sample `first` on."""

    job: Job
    first: int
    count: int

    @property
    def draw(self) -> Draw:
        """Their inputs."""
        whole = self.job.draw
        if self.count == len(whole.indices):
            return whole
        return whole.take(slice(self.first, self.first + self.count))


def _share_out(output: Array, taken: Sequence[Share]) -> None:
    """Give each job its samples; one that has all is answered."""
    place = 0
    for share in taken:
        job = share.job
        job.parts[share.first] = output[place : place + share.count]
        job.waiting -= 1
        place += share.count
        if not job.left and not job.waiting and not job.answer.done():
            parts = [job.parts[key] for key in sorted(job.parts)]
            job.answer.set_result(parts[0] if len(parts) == 1 else np.concatenate(parts))


def _fail(job: Job, err: BaseException) -> None:
    if not job.answer.done():
        job.answer.set_exception(err)


def _expire(job: Job, loop: asyncio.AbstractEventLoop) -> None:
    _fail(job, too_late(job.queued, loop.time()))


def too_late(queued: float, now: float) -> DeadlineError:
    """Return the error of a request that came at `queued` and is given up `now`, in s."""
    return DeadlineError(f"no answer within {now - queued:.1f} s; the work was dropped")
