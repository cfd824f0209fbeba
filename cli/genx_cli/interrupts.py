"""How the process ends: after the work, on Ctrl-C, on SIGTERM; nothing half written is left."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that temporary files go; exit code 143."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def end_process(code: int | None) -> NoReturn:
    """Run what was registered for the exit, write out what is buffered, and end with `code`.

    The interpreter is not torn down module by module: with numpy and an engine loaded that takes
    25 to 40 ms, a sixth of `genx sample`. With threads still running, or where the output cannot
    be written (a closed pipe), the interpreter ends as always.
    """
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the caller
                stream.flush()
        except OSError:
            sys.exit(code)
        os._exit(code or 0)
    sys.exit(code)


@contextmanager
def leave_at_once() -> Iterator[None]:
    """End the process on Ctrl-C without unwinding while the block runs, before anything is written.

    For the import of large C++ libraries, which abort when an exception passes through them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(*_: object) -> None:
    from genx_cli.failures import INTERRUPTED, report_failure

    report_failure(KeyboardInterrupt())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
