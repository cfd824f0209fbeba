"""The body of a request: within bounds of size and time, decompressed."""

from __future__ import annotations

import asyncio
import sys
import zlib
from typing import Any

from starlette.types import Message, Receive

from genx_runtimes.errors import InputError
from genx_runtimes.serve.refusals import SlowError, TooLargeError
from genx_runtimes.serve.settings import Limits

PLAIN = frozenset({b"", b"identity"})
COMPRESSED = frozenset({b"gzip", b"x-gzip", b"deflate"})
_ANY_HEADER = zlib.MAX_WBITS | 32  # of gzip or of zlib, which HTTP calls deflate


class BodyReader:
    """An ASGI `receive` that reads no more, and waits no longer, than it may.

    Args:
        receive: the server's.
        limits: bytes, compressed and not, and seconds until the whole body is here.
        encoding: `Content-Encoding`, of `PLAIN` or `COMPRESSED`.

    Source: RFC 9110, 8.4 (content coding) and 15.5.9 (408).
    """

    def __init__(self, receive: Receive, limits: Limits, encoding: bytes) -> None:
        self._receive, self._limits = receive, limits
        self._inflater = zlib.decompressobj(_ANY_HEADER) if encoding in COMPRESSED else None
        self._until: float | None = None
        self._seen = self._made = 0
        self._whole = self._late = False

    async def __call__(self) -> Message:
        """Return the next message.

        Raises:
            TooLargeError: the body has more bytes than it may.
            SlowError: it is not here in time.
            InputError: it is not compressed as it says.
        """
        if self._whole:
            return await self._receive()
        message = await self._receive_in_time()
        if message["type"] != "http.request":
            return message
        body = message.get("body", b"")
        self._whole = not message.get("more_body", False)
        self._seen += len(body)
        if self._seen > self._limits.body_bytes:
            raise TooLargeError(f"the body is larger than {self._limits.body_bytes} bytes")
        if self._inflater is None:
            return message
        return {**message, "body": await asyncio.to_thread(self._inflate, self._inflater, body)}

    async def _receive_in_time(self) -> Message:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        if self._until is None:
            self._until = loop.time() + self._limits.read_seconds
        timer = loop.call_at(self._until, self._give_up, task)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if not self._late or (sys.version_info >= (3, 11) and task.uncancel()):
                raise
            raise SlowError(f"the body was not here in {self._limits.read_seconds:g} s") from None
        finally:
            timer.cancel()

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        self._late = True
        task.cancel()

    def _inflate(self, inflater: Any, data: bytes) -> bytes:
        most = self._limits.body_bytes
        try:
            made: bytes = inflater.decompress(data, most - self._made + 1)
        except zlib.error as err:
            raise InputError(f"the body is not compressed as Content-Encoding says: {err}") from err
        self._made += len(made)
        if self._made > most:
            raise TooLargeError(f"the body is larger than {most} bytes when it is decompressed")
        if inflater.unused_data:
            raise InputError("the compressed body has bytes behind its end")
        if self._whole and not inflater.eof:
            raise InputError("the compressed body ends in the middle")
        return made
