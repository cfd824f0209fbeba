"""How bulk generation is shown: how much, at which rate, how long it will take, what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genx_cli.sink import Progress, Sink
    from genx_runtimes.generate import Failure, Plan, Shard


class GenerationShown:
    """Tells a progress display of shards; see `genx_runtimes.generate.Watch`.

    Args:
        sink: of the command.
        progress: its display.
        plan: of the data set.
        clock: seconds from any origin.
    """

    def __init__(
        self,
        sink: Sink,
        progress: Progress,
        plan: Plan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._progress, self._plan, self._clock = sink, progress, plan, clock
        self._began = clock()
        self._finished = self._failures = 0
        self._made = self._left = 0

    @property
    def told(self) -> str:
        """How far it is, in words."""
        return f"{self._finished} of {self._plan.count} shards are finished"

    def checked(self, done: int, total: int) -> None:
        """Say how many shards of a former run have been read again."""
        self._progress.step(f"checking what is there, {done} of {total} shards")

    def begun(self, kept: Sequence[Shard], missing: int) -> None:
        """Count what is there already."""
        self._finished = len(kept)
        there = sum(shard.count for shard in kept)
        self._left = self._plan.settings.n - there
        self._began = self._clock()
        self._progress.advance(there)
        self._progress.step(self._describe())
        if kept and missing:
            self._sink.say(f"{len(kept)} shards are there already, {missing} are missing")

    def made(self, shard: Shard) -> None:
        """Count a finished shard."""
        self._finished += 1
        self._made += shard.count
        self._left -= shard.count
        self._progress.advance(shard.count)
        self._progress.step(self._describe())

    def failed(self, index: int, failure: Failure, attempt: int) -> None:
        """Tell of an attempt that failed."""
        self._failures += 1
        self._sink.warn(f"shard {index} failed, attempt {attempt} of 3: {failure.message}")
        self._progress.step(self._describe())

    def _describe(self) -> str:
        parts = [self.told]
        spent = self._clock() - self._began
        if self._made and spent > 0:
            rate = self._made / spent
            parts.append(f"{rate:,.0f} samples/s")
            parts.append(f"{_tell_time(self._left / rate)} left")
        if self._failures:
            parts.append(f"{self._failures} failures")
        return ", ".join(parts)


def _tell_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
