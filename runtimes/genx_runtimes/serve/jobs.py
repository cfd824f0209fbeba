"""Work on its way through a model's queue: samples that share calls, and what runs alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.refusals import DeadlineError
from genx_runtimes.session import Array


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """What a request waits for.

    Args:
        count: samples, as the queue counts them.
        queued: when it came, on the loop's clock.
        answer: for the request; once it is done, however, nobody wants the work any more.
    """

    count: int
    queued: float
    answer: asyncio.Future[Any]
    left: int = field(init=False)
    turn: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.count  # samples that no call has taken yet
        self.turn = self.queued  # when it last came to the end of the queue

    @property
    def wanted(self) -> bool:
        """Whether somebody waits; asked in any thread."""
        return not self.answer.done()

    def finish(self, found: object) -> None:
        """Answer, if it is still wanted."""
        if self.wanted:
            self.answer.set_result(found)

    def fail(self, err: BaseException) -> None:
        """Answer with an error, if it is still wanted."""
        if self.wanted:
            self.answer.set_exception(err)

    def expire(self) -> None:
        """Drop the work: its deadline has passed."""
        self.fail(too_late())


@dataclass(slots=True, kw_only=True, eq=False)
class LoneJob(Job):
    """What has an engine for itself.

    Args:
        work: called with the instance, in its thread.
        is_sampling: whether it makes `count` samples, which are recorded.
    """

    work: Callable[[Instance], object]
    is_sampling: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class SampleJob(Job):
    """Samples that share calls with those of others.

    Args:
        draw: draws all their inputs; in an instance's thread, or a few on the event loop.
        options: of the sampling loop.
    """

    draw: Callable[[], Draw]
    options: SamplingOptions
    waiting: int = 0
    parts: dict[int, Array] = field(default_factory=dict)
    _drawn: Draw | None = None
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def drawn(self) -> Draw:
        """The inputs of all samples.

        Raises:
            InputError: the request's arguments are wrong.
        """
        with self._drawing:  # several instances may take their share of a large one
            if self._drawn is None:
                self._drawn = self.draw()
            return self._drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The samples of a request that one call makes, from its sample `first` on."""

    job: SampleJob
    first: int
    count: int

    @property
    def drawn(self) -> Draw:
        """Their inputs; errors are those of `SampleJob.drawn`."""
        whole = self.job.drawn
        if self.count == len(whole.indices):
            return whole
        return whole.take(slice(self.first, self.first + self.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of the shares of a call.

    Args:
        shares: whose samples were made, in the order of the batch.
        batch: their samples; None where there is no share left.
        taken_s: seconds that it took.
        failed: whose inputs cannot be drawn, and why.
    """

    shares: Sequence[Share]
    batch: Batch | None
    taken_s: float
    failed: Sequence[tuple[Share, Exception]]


def make_shares(instance: Instance, taken: Sequence[Share]) -> Made:
    """Draw and make the samples of one call; in the instance's thread."""
    shares: list[Share] = []
    draws: list[Draw] = []
    failed: list[tuple[Share, Exception]] = []
    for share in taken:
        if not share.job.wanted:
            continue
        try:
            draws.append(share.drawn)
        except Exception as err:
            failed.append((share, err))
        else:
            shares.append(share)
    if not draws:
        return Made(shares=(), batch=None, taken_s=0.0, failed=failed)
    batch, (began, ended) = instance.make(draws, shares[0].job.options)
    return Made(shares=shares, batch=batch, taken_s=(ended - began) / 1e9, failed=failed)


def share_out(batch: Batch, shares: Sequence[Share]) -> None:
    """Give each job its samples; one that has all is answered with a batch of them."""
    place = 0
    for share in shares:
        job = share.job
        job.parts[share.first] = batch.output[place : place + share.count]
        job.waiting -= 1
        place += share.count
        if not job.left and not job.waiting and job.wanted:
            parts = [job.parts[key] for key in sorted(job.parts)]
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
            drawn = job.drawn
            start = drawn.indices[0]
            job.finish(replace(batch, start=start, feeds=drawn.feeds, output=whole))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of an engine: its samples, the seconds that each job waited, those that it took."""

    samples: int
    waited_s: tuple[float, ...]
    taken_s: float


def too_late() -> DeadlineError:
    """Return the error of a request whose deadline has passed."""
    return DeadlineError(
        "the request was not done in time; the work was dropped",
        fix="ask for less, or start the server with more: --limit seconds=N",
    )
