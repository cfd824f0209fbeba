"""Programs of which one runs at a time: each for a moment, then the next, again and again.

A machine that others share changes its speed within seconds; programs that alternate so are hit
alike, which whole runs one after another are not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

# Long enough that few calls are a moment's first, which is slow, or its last, which is interrupted.
MOMENT_S = 0.05


def run_alternately(
    commands: Mapping[str, Sequence[str]],
    *,
    moment_s: float = MOMENT_S,
    head_starts_s: Mapping[str, float] | None = None,
) -> dict[str, str]:
    """Run programs to their end, all but one of them stopped at any time; return their stdout.

    Each has the same share of the time until the last has ended, so that rates which they measure
    by the wall clock can be compared: all are that share of what a program would reach alone.

    Args:
        commands: of each program and its arguments, by name.
        moment_s: seconds of a turn.
        head_starts_s: seconds that a program has to itself before all begin, by name.

    Raises:
        subprocess.CalledProcessError: one failed; the others are ended.
    """
    with ExitStack() as stack:
        outputs, programs = {}, {}
        for name, command in commands.items():
            outputs[name] = stack.enter_context(tempfile.TemporaryFile("w+"))
            program = subprocess.Popen(command, stdout=outputs[name], start_new_session=True)
            stack.callback(_end, program)
            _send(program, signal.SIGSTOP)
            programs[name] = program
        for name, seconds in (head_starts_s or {}).items():
            _let_run(programs[name], seconds)
        while any(program.poll() is None for program in programs.values()):
            for program in programs.values():
                _let_run(program, moment_s)
        for output in outputs.values():
            output.seek(0)
        return {name: output.read() for name, output in outputs.items()}


def _let_run(program: subprocess.Popen[bytes], seconds: float) -> None:
    _send(program, signal.SIGCONT)
    time.sleep(seconds)
    _send(program, signal.SIGSTOP)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, program.args)


def _send(program: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a program and what it has started, unless it has ended."""
    if program.poll() is None:
        os.killpg(program.pid, number)


def _end(program: subprocess.Popen[bytes]) -> None:
    _send(program, signal.SIGKILL)
    program.wait()
