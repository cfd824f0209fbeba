"""Shards made by processes on this machine."""

from __future__ import annotations

import selectors
import sys
from collections import deque
from collections.abc import Sequence

import msgspec

from genx_runtimes.backends import runs_on_cpu
from genx_runtimes.child import Child
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendError
from genx_runtimes.generate.plan import Plan
from genx_runtimes.generate.record import Failure, Outcome
from genx_runtimes.generate.runners import Outcomes, RunOptions

WORKER = "genx_runtimes.generate.worker"


def run_local(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
    """Make shards in processes of their own; one that dies is replaced. See `runners`."""
    waiting = deque(indices)
    count = min(options.workers or choose_workers(plan), len(indices))
    busy: set[_Worker] = set()
    with selectors.DefaultSelector() as selector:

        def start() -> None:
            try:
                worker = _Worker(plan)
            except OSError as err:
                raise BackendError(f"no process can be started: {err.strerror or err}") from err
            busy.add(worker)
            worker.ask(waiting.popleft())
            selector.register(worker.answers, selectors.EVENT_READ, worker)

        try:
            for _ in range(count):
                start()
            while busy:
                for key, _ in selector.select():
                    worker: _Worker = key.data
                    outcome = worker.answer()
                    if worker.has_ended or not waiting:
                        selector.unregister(worker.answers)
                        busy.remove(worker)
                        worker.end()
                        if waiting:
                            start()
                    else:
                        worker.ask(waiting.popleft())
                    yield outcome
        finally:
            for worker in busy:
                worker.end()


def choose_workers(plan: Plan) -> int:
    """Return how many processes use the machine best: one for all of its threads' cores.

    A GPU is given to one process.
    """
    if not runs_on_cpu(plan.settings.backend):
        return 1
    return max(1, count_usable_cores() // plan.settings.threads)


class _Worker:
    """A process that makes one shard at a time."""

    def __init__(self, plan: Plan) -> None:
        self._child = Child((sys.executable, "-m", WORKER))
        self._index = -1
        self.answers = self._child.answers
        self.has_ended = False
        self._child.ask(msgspec.json.encode(plan))

    def ask(self, index: int) -> None:
        """Have a shard made."""
        self._index = index
        self._child.ask(b"%d" % index)

    def answer(self) -> Outcome:
        """Wait for what became of the shard; `has_ended` tells whether the process did, too."""
        answered = self._child.answer()
        if not answered.failure:
            return msgspec.json.decode(answered.output, type=Outcome)
        self.has_ended = True
        err = BackendError(f"the process that made shard {self._index} {answered.failure}")
        return Outcome(index=self._index, failure=Failure.of(err))

    def end(self) -> None:
        """End the process at once, and wait until it is gone."""
        self._child.end()
