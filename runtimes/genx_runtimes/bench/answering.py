"""The child's side of `run_child`: one request on stdin, one answer on stdout, both JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from genx_runtimes.child import one_line

_Request = TypeVar("_Request")


def answer(kind: type[_Request], respond: Callable[[_Request], object]) -> None:
    """Answer the request on stdin; a failure is the last line of stderr and exit code 1.

    Args:
        kind: of the request.
        respond: returns the answer, which msgspec can encode.
    """
    out = os.dup(1)
    os.dup2(2, 1)  # what an engine prints must not mix with the answer
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
        response = respond(request)
    except MemoryError:
        sys.exit("ran out of memory")
    except Exception as err:  # an engine may raise anything; the parent shows this line
        sys.exit(one_line(err))
    with os.fdopen(out, "wb") as file:
        file.write(msgspec.json.encode(response))
