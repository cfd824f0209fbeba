"""Work in a process of its own: what crashes or hangs there leaves this process whole."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from genx_runtimes.errors import GenxError

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
        return Outcome(output=b"", failure=f"gave no answer within {timeout_s:g} s and was ended")
    except OSError as err:
        return Outcome(output=b"", failure=f"cannot be started: {err.strerror or err}")
    if done.returncode == 0:
        return Outcome(output=done.stdout)
    return Outcome(output=done.stdout, failure=explain_end(done.returncode, done.stderr))


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
