"""The child's side: one request on stdin, one answer on stdout, both JSON, and talk in between."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, TypeVar

import msgspec

from genx_runtimes.child import one_line

_Request = TypeVar("_Request")
_Message = TypeVar("_Message")
_PR_SET_PDEATHSIG = 1


class Channel:
    """Messages to and from the parent, each a line of JSON.

    Args:
        source: where the parent's are read.
        sink: where the child's are written.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    def send(self, message: object) -> None:
        """Tell the parent."""
        self._sink.write(msgspec.json.encode(message) + b"\n")
        self._sink.flush()

    def receive(self, kind: type[_Message]) -> _Message | None:
        """Wait for the parent's next message; None once there are no more."""
        line = self._source.readline()
        return msgspec.json.decode(line, type=kind) if line else None


def answer(kind: type[_Request], respond: Callable[[_Request], object]) -> None:
    """Answer the request on stdin; a failure is the last line of stderr and exit code 1.

    Args:
        kind: of the request.
        respond: returns the answer, which msgspec can encode.
    """
    converse(kind, lambda request, _: respond(request))


def converse(kind: type[_Request], respond: Callable[[_Request, Channel], object]) -> None:
    """Answer the request on stdin, as `answer` does, after as much talk as it takes.

    Args:
        kind: of the request.
        respond: is given what it can talk by, and returns the answer.
    """
    _end_with_parent()
    out = os.dup(1)
    os.dup2(2, 1)  # what an engine prints must not mix with the answer
    with os.fdopen(out, "wb") as sink:
        channel = Channel(sys.stdin.buffer, sink)
        try:
            request = channel.receive(kind)
            if request is None:
                sys.exit("was asked nothing")
            response = respond(request, channel)
        except MemoryError:
            sys.exit("ran out of memory")
        except Exception as err:  # an engine may raise anything; the parent shows this line
            sys.exit(one_line(err))
        channel.send(response)


def _end_with_parent() -> None:
    """Have Linux kill this process once its parent is gone: while stopped it can't notice.

    It is the thread that started it, which must wait for the answer.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
