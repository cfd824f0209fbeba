"""Ctrl-C and SIGTERM: one line, the right exit code, nothing half written."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that temporary files go; exit code 143."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


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
