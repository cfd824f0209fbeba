"""The steps of a running loop on their way to the client that watches them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from genx_runtimes.sampler import Batch
from genx_runtimes.serve.interruption import DroppedError

# One step on its way to the client while the next is made.
_AHEAD = 2


class Watch:
    """What there is after each step, in order; an asynchronous iterator.

    The loop waits while the client has not taken what was made before, so that no more than a few
    steps are in memory. It ends when `answer` is done: after its last step, by its deadline, or by
    `close`.

    Args:
        answer: of the job that makes them.
    """

    def __init__(self, answer: asyncio.Future[None]) -> None:
        self._answer = answer
        self._loop = answer.get_loop()
        self._steps: deque[Batch] = deque()
        self._changed = asyncio.Event()
        self._room = threading.Semaphore(_AHEAD)
        answer.add_done_callback(self._end)

    def tell(self, step: Batch) -> None:
        """Hand a step to the client as soon as there is room; in the instance's thread.

        Raises:
            DroppedError: nobody watches any more.
        """
        self._room.acquire()
        if self._answer.done():
            raise DroppedError("nobody watches any more")
        self._loop.call_soon_threadsafe(self._add, step)

    async def begin(self) -> None:
        """Wait for the first step.

        Raises:
            Exception: what ended the loop before it.
        """
        await self._changed.wait()
        if not self._steps:
            self._answer.result()

    def close(self) -> None:
        """End the loop after its step, if it has not ended."""
        if not self._answer.cancel() and not self._answer.cancelled():
            self._answer.exception()  # which the client did not stay to hear

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Batch:
        while not self._steps:
            if self._answer.done():
                if not self._answer.cancelled():
                    self._answer.result()
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        self._room.release()
        return self._steps.popleft()

    def _add(self, step: Batch) -> None:
        self._steps.append(step)
        self._changed.set()

    def _end(self, _: asyncio.Future[None]) -> None:
        self._room.release()
        self._changed.set()
