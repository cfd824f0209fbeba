"""Work in a process of its own: what crashes or hangs there leaves this process whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from genx_runtimes.errors import GenxError

_Answer = TypeVar("_Answer")

# PyPI wheels of engines die so on CPUs older than the ones they were built for.
_HINTS = {signal.SIGILL: " (this CPU lacks an instruction that the engine was built for)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a child process ended.

    Args:
        output: what it wrote on stdout.
        failure: why it cannot be used, one line; empty where it ended well.
    """

    output: bytes
    failure: str = ""


def run_child(command: Sequence[str], *, data: bytes = b"", timeout_s: float) -> Outcome:
    """Run a command to its end, or kill it; a failure is returned, never raised.

    Args:
        command: the program and its arguments.
        data: its stdin.
        timeout_s: seconds after which it is killed.
    """
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(output=b"", failure=_tell_late(timeout_s))
    except OSError as err:
        return Outcome(output=b"", failure=f"cannot be started: {err.strerror or err}")
    if done.returncode == 0:
        return Outcome(output=done.stdout)
    return Outcome(output=done.stdout, failure=explain_end(done.returncode, done.stderr))


class Child:
    """A process that is asked line by line, and answers so. Ctrl-C is its parent's, who ends it.

    Args:
        command: the program and its arguments.

    Attributes:
        answers: its stdout.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self.answers = self._process.stdin, self._process.stdout
        self._late = ""

    def ask(self, line: bytes) -> None:
        """Send a line; one that has died says so where its answer is read."""
        with suppress(BrokenPipeError):
            self._requests.write(line + b"\n")
            self._requests.flush()

    def ask_no_more(self) -> None:
        """Let it know that there are no more lines."""
        with suppress(BrokenPipeError):
            self._requests.close()

    def answer(self, timeout_s: float | None = None) -> Outcome:
        """Wait for a line; that the process has ended is a failure, returned and never raised.

        Args:
            timeout_s: seconds after which it is killed; None waits for ever.
        """
        timer = threading.Timer(timeout_s or 0, self._give_up, (timeout_s,))
        timer.daemon = True
        try:
            if timeout_s is not None:
                timer.start()
            line = self.answers.readline()
            if line.endswith(b"\n"):
                return Outcome(output=line)
            code = self._process.wait()
        finally:
            timer.cancel()
        self._errors.seek(0)
        failure = self._late or explain_end(code, self._errors.read())
        return Outcome(output=b"", failure=failure)

    def stop(self) -> None:
        """Let none of its threads run, nor what it has started; not on Windows."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End the process at once, with what it has started, and wait until it is gone."""
        self._kill()
        self._process.wait()
        for file in (self._requests, self.answers, self._errors):
            with suppress(BrokenPipeError):  # of what it was not sent
                file.close()

    def _give_up(self, timeout_s: float) -> None:
        self._late = _tell_late(timeout_s)
        self._kill()

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)


def read_answer(outcome: Outcome, kind: type[_Answer], *, missing: str) -> _Answer | str:
    """Return what a process answered as JSON, or why it did not.

    Args:
        outcome: of the process.
        kind: of its answer.
        missing: what to say of an answer that is none, such as "the process answered no profile".
    """
    if outcome.failure:
        return outcome.failure
    try:
        return msgspec.json.decode(outcome.output, type=kind)
    except msgspec.MsgspecError as err:
        return f"{missing}: {err}"


def one_line(err: BaseException) -> str:
    """Return an error as the last line of stderr should tell it."""
    text = str(err) if isinstance(err, GenxError) else f"{type(err).__name__}: {err}"
    return " ".join(text.split())


def explain_end(code: int, stderr: bytes) -> str:
    """Say why a process ended: its signal, or the last line that it wrote."""
    if code < 0:
        try:
            number = signal.Signals(-code)
        except ValueError:
            return f"was killed by signal {-code}"
        return f"was killed by {number.name}{_HINTS.get(number, '')}"
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else f"ended with exit code {code} and said nothing"


def _tell_late(timeout_s: float) -> str:
    return f"gave no answer within {timeout_s:g} s and was ended"
