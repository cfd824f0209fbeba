"""Joining the samples of several requests into one call of the engine.

A sample depends on its seed and its index alone, so that what a request is answered does not depend
on what it was joined with. Samples of different conditions share a call; those of different loop
settings (steps, temperature ...) do not. A stream, a translation or a component's call has an
instance for itself; it waits in the same queue, within the same bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.job_queue import JobQueue
from genx_runtimes.serve.jobs import (
    CallRecord,
    Job,
    LoneJob,
    SampleJob,
    Share,
    make_shares,
    share_out,
    too_late,
)
from genx_runtimes.serve.refusals import StoppingError
from genx_runtimes.serve.watch import Watch

_Found = TypeVar("_Found")


class Batcher:
    """The queue of one bundle.

    Args:
        instances: that take from it; nothing else gives their threads work.
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
        self._record = record
        self._queue = JobQueue(max_batch=max_batch, max_delay_s=max_delay_s, max_samples=max_queue)
        self._changed = asyncio.Event()
        self._outstanding: set[Job] = set()
        self._stopped = False
        self._tasks = [asyncio.create_task(self._work(instance)) for instance in instances]

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return self._queue.samples

    @property
    def is_busy(self) -> bool:
        """Whether a request waits for anything."""
        return bool(self._outstanding)

    async def submit(
        self,
        draw: Callable[[], Draw],
        count: int,
        options: SamplingOptions,
        *,
        deadline: float,
        few: bool = False,
    ) -> Batch:
        """Return samples, joined with those of other requests.

        Args:
            draw: draws their inputs; its errors are the answer.
            count: samples that it draws.
            options: of the sampling loop.
            deadline: on the loop's clock; what is not done by then is dropped.
            few: draw on the event loop once they are admitted, not in the thread of an instance.

        Raises:
            InputError: more samples than the queue takes.
            BusyError: the queue is full.
            DeadlineError: it was not done in time.
            StoppingError: the model is being unloaded.
        """
        loop = asyncio.get_running_loop()
        job = SampleJob(
            count=count,
            queued=loop.time(),
            answer=loop.create_future(),
            draw=draw,
            options=options,
        )
        self._admit(job, deadline)
        if few:
            try:
                _ = job.drawn
            except Exception as err:
                job.fail(err)
        answer: Batch = await job.answer  # cancelled: the samples are dropped
        return answer

    async def run(
        self, work: Callable[[Instance], _Found], *, deadline: float, count: int = 1
    ) -> _Found:
        """Return what `work` does with an instance, in its thread; it shares no call.

        Args:
            work: ends early where the instance's engine is called after nobody waits any more.
            deadline: on the loop's clock; what is not done by then is dropped.
            count: samples, as the queue counts them.

        Raises:
            Exception: those of `submit`.
        """
        loop = asyncio.get_running_loop()
        job = LoneJob(count=count, queued=loop.time(), answer=loop.create_future(), work=work)
        self._admit(job, deadline)
        answer: _Found = await job.answer
        return answer

    async def watch(
        self, draw: Callable[[], Draw], count: int, options: SamplingOptions, *, deadline: float
    ) -> Watch:
        """Return what there is after each step, once the first is there; close it in the end.

        Args and errors are those of `submit`; later errors, a passed deadline too, are raised
        between the steps.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        steps = Watch(answer)

        def make_steps(instance: Instance) -> None:
            for step in instance.watch(draw(), options):
                steps.tell(step)

        job = LoneJob(
            count=count, queued=loop.time(), answer=answer, work=make_steps, is_sampling=True
        )
        try:
            self._admit(job, deadline)
            await steps.begin()
        except BaseException:
            steps.close()
            raise
        return steps

    def stop(self) -> None:
        """Drop all work, and take no more."""
        self._stopped = True
        for job in list(self._outstanding):
            job.fail(StoppingError("the model is being unloaded", retry_after_s=1))

    async def close(self) -> None:
        """Drop all work, and free the instances after their step."""
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(asyncio.wrap_future(i.close()) for i in self._instances))

    def _admit(self, job: Job, deadline: float) -> None:
        """Let a job wait for an instance until its deadline, or refuse it."""
        if self._stopped:
            raise StoppingError("the model is being unloaded", retry_after_s=1)
        if deadline <= job.queued:
            raise too_late()
        self._queue.add(job)
        self._outstanding.add(job)
        timer = asyncio.get_running_loop().call_at(deadline, job.expire)
        job.answer.add_done_callback(partial(self._let_go, job, timer))
        if self._queue.samples == job.count or self._queue.is_due(job.queued):
            self._changed.set()

    def _let_go(self, job: Job, timer: asyncio.TimerHandle, _: asyncio.Future[object]) -> None:
        """Forget a job that is answered, or whose client went away."""
        timer.cancel()
        self._outstanding.discard(job)
        self._queue.forget(job)

    async def _work(self, instance: Instance) -> None:
        """Give one instance work from the queue, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gather(loop)
            job = self._queue.take_lone(loop.time())
            if job is not None:
                await self._run_alone(instance, job)
                continue
            taken = list(self._queue.take_shares(loop.time()))
            if taken:
                await self._run_together(instance, taken)

    async def _run_alone(self, instance: Instance, job: LoneJob) -> None:
        """Do work that shares no call."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            work = instance.submit(job.work, instance, wanted=lambda: job.wanted)
            found = await asyncio.wrap_future(work)
        except Exception as err:
            job.fail(err)
            return
        if job.wanted and job.is_sampling:
            taken_s = loop.time() - began
            waited_s = (began - job.queued,)
            self._record(CallRecord(samples=job.count, waited_s=waited_s, taken_s=taken_s))
        job.finish(found)

    async def _run_together(self, instance: Instance, taken: Sequence[Share]) -> None:
        """Make samples that share a call."""
        try:
            await self._call(instance, taken)
        except Exception as err:
            if len(taken) == 1:
                taken[0].job.fail(err)
                return
            for share in taken:  # what is wrong with one is no matter of the others
                if not share.job.wanted:
                    continue
                try:
                    await self._call(instance, [share])
                except Exception as own:
                    share.job.fail(own)

    async def _call(self, instance: Instance, taken: Sequence[Share]) -> None:
        """Make samples that were taken in one call."""
        now = asyncio.get_running_loop().time()
        work = instance.submit(
            make_shares, instance, taken, wanted=lambda: any(s.job.wanted for s in taken)
        )
        made = await asyncio.wrap_future(work)
        for share, err in made.failed:
            share.job.fail(err)
        if made.batch is None:
            return
        self._record(
            CallRecord(
                samples=len(made.batch.output),
                waited_s=tuple(now - s.job.queued for s in made.shares if not s.first),
                taken_s=made.taken_s,
            )
        )
        share_out(made.batch, made.shares)

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for samples; then, while fewer requests are about than were lately, for more.

        One client alone never waits: it has no other request that could come.
        """
        while not self._queue.is_due(loop.time()):
            self._changed.clear()
            due_at = self._queue.due_at
            timer = None if due_at is None else loop.call_at(due_at, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()
