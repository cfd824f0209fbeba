"""The stack that signal handlers run on, kept from engines that change it and do not put it back.

OpenVINO 2026.4 sets one on the thread that compiles a graph and frees it later: the next Ctrl-C
then wrote into memory that had become something else's.

Source: sigaltstack(2); CPython installs its handlers with SA_ONSTACK.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def read_signal_stack() -> SignalStack:
    """Return the alternate signal stack of this thread, on Linux."""
    found = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found


@contextmanager
def keep_signal_stack() -> Iterator[None]:
    """Put back this thread's alternate signal stack when the block ends; nothing but on Linux."""
    if sys.platform != "linux":
        yield
        return
    before = read_signal_stack()
    try:
        yield
    finally:
        ctypes.CDLL(None).sigaltstack(ctypes.byref(before), None)
