"""What waits for a model's instances: how much may, when a call is due, and who shares it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from genx_runtimes.errors import InputError
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.serve.jobs import Job, LoneJob, SampleJob, Share
from genx_runtimes.serve.refusals import BusyError

_FORGET_S = 0.5


class JobQueue:
    """The work that no instance has taken yet; times are those of the loop's clock.

    Args:
        max_batch: samples of a call at most.
        max_delay_s: how long the oldest sample may wait for others.
        max_samples: that may wait.
    """

    def __init__(self, *, max_batch: int, max_delay_s: float, max_samples: int) -> None:
        self._max_batch, self._max_delay_s = max_batch, max_delay_s
        self._max_samples = max_samples
        self.samples = 0  # that wait
        self._sharing: deque[SampleJob] = deque()
        self._lone: deque[LoneJob] = deque()
        self._about = 0  # requests for samples, those under way too
        self._crowd = 0
        self._crowd_at = 0.0

    def add(self, job: Job) -> None:
        """Let a job wait: the one place where work comes in.

        Raises:
            InputError: it has more samples than may wait.
            BusyError: too many wait.
        """
        if job.count > self._max_samples:
            raise InputError(
                f"n is {job.count}, this server's queue takes {self._max_samples}",
                fix="ask for fewer, or start the server with a longer one: --limit queue=N",
            )
        if self.samples + job.count > self._max_samples:
            raise BusyError(
                f"{self.samples} samples wait, the queue takes {self._max_samples}",
                fix="try again later, or ask for fewer",
                retry_after_s=1,
            )
        self.samples += job.count
        if isinstance(job, LoneJob):
            self._lone.append(job)
        elif isinstance(job, SampleJob):
            self._sharing.append(job)
            self._about += 1
            self._note_crowd(job.queued)

    def forget(self, job: Job) -> None:
        """Take out a job that is answered, or whose client went away."""
        self._about -= isinstance(job, SampleJob)
        if job.left:
            self._remove(job)

    @property
    def due_at(self) -> float | None:
        """When the oldest of the samples that wait has waited enough; None where none waits."""
        return self._sharing[0].queued + self._max_delay_s if self._sharing else None

    def is_due(self, now: float) -> bool:
        """Return whether there is work for an instance."""
        return bool(self._lone) or self._is_call_due(now)

    def take_lone(self, now: float) -> LoneJob | None:
        """Take what shares no call, if it comes before the samples that wait."""
        if not self._lone:
            return None
        job = self._lone[0]
        if self._sharing and self._sharing[0].turn < job.turn and self._is_call_due(now):
            return None
        self._remove(job)
        return job

    def take_shares(self, now: float) -> Iterator[Share]:
        """Take the samples of the next call.

        A request for more than a call holds comes after the others with the rest of it.
        """
        room = self._max_batch
        options: SamplingOptions | None = None
        for job in list(self._sharing):
            if not room:
                return
            if not job.wanted:
                self._remove(job)
                continue
            if options is not None and job.options != options:
                continue
            options = job.options
            first, left = job.count - job.left, job.left
            self._remove(job)
            count = min(room, left)
            job.waiting += 1
            if left > count:
                job.left, job.turn = left - count, now
                self._sharing.append(job)
                self.samples += job.left
            room -= count
            yield Share(job=job, first=first, count=count)

    def _is_call_due(self, now: float) -> bool:
        """Return whether a call is to be made of the samples that wait."""
        return bool(self._sharing) and (
            self._about >= self._expect(now)
            or self.samples >= self._max_batch
            or now >= self._sharing[0].queued + self._max_delay_s
        )

    def _note_crowd(self, now: float) -> None:
        """Remember how many requests were about at once, for half a second."""
        if self._about >= self._crowd or now - self._crowd_at > _FORGET_S:
            self._crowd, self._crowd_at = self._about, now

    def _expect(self, now: float) -> int:
        """Return how many requests may come at once."""
        return self._crowd if now - self._crowd_at <= _FORGET_S else self._about

    def _remove(self, job: Job) -> None:
        """Take a job out."""
        if isinstance(job, LoneJob):
            self._lone.remove(job)
        elif isinstance(job, SampleJob):
            self._sharing.remove(job)
        self.samples -= job.left
        job.left = 0
