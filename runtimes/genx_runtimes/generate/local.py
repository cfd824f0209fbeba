"""Shards made by processes on this machine."""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from genx_runtimes.backends import split_backend
from genx_runtimes.child import explain_end
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
    backend, device = split_backend(plan.settings.backend)
    if backend.needs_gpu or device not in (None, "cpu"):
        return 1
    return max(1, count_usable_cores() // plan.settings.threads)


class _Worker:
    """A process that makes one shard at a time."""

    def __init__(self, plan: Plan) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            (sys.executable, "-m", WORKER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is the driver's, which ends its workers
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self.answers = self._process.stdin, self._process.stdout
        self._index = -1
        self.has_ended = False
        self._send(msgspec.json.encode(plan))

    def ask(self, index: int) -> None:
        """Have a shard made."""
        self._index = index
        self._send(b"%d" % index)

    def answer(self) -> Outcome:
        """Wait for what became of the shard; `has_ended` tells whether the process did, too."""
        line = self.answers.readline()
        if line.endswith(b"\n"):
            return msgspec.json.decode(line, type=Outcome)
        self.has_ended = True
        code = self._process.wait()
        self._errors.seek(0)
        how = explain_end(code, self._errors.read())
        err = BackendError(f"the process that made shard {self._index} {how}")
        return Outcome(index=self._index, failure=Failure.of(err))

    def end(self) -> None:
        """End the process at once, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for file in (self._requests, self.answers, self._errors):
            with suppress(BrokenPipeError):  # of what it was not sent
                file.close()

    def _send(self, line: bytes) -> None:
        with suppress(BrokenPipeError):  # it died; answer() tells how
            self._requests.write(line + b"\n")
            self._requests.flush()
