"""What a client may do with a connection beside sending requests: uvicorn's protocol with bounds.

llhttp, which parses here, keeps a head of any length for any time, and uvicorn's own
`limit_concurrency` counts only connections that have sent one. Whole requests are `Guard`'s.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from genx_runtimes.serve.settings import Limits

_log = logging.getLogger("genx.serve")


class BoundedProtocol(HttpToolsProtocol):
    """Bounds the number of connections, unfinished heads, and waiting for a client to read.

    Args:
        limits: connections, head_bytes, and read_seconds, which a head may take, and a client that
            reads nothing of its answer.
        known: what uvicorn gives its protocols.

    Source: RFC 9110, 15.5.9 (408); RFC 6585, 5 (431).
    """

    def __init__(self, *, limits: Limits, **known: Any) -> None:
        super().__init__(**known)
        self._limits = limits
        self._in_head = False
        self._kept = 0  # bytes that the parser has of what is not finished: a head, trailers
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or refuse what is one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, f"{self._limits.connections} connections are open")
        else:
            self._start_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._stop_reading()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._kept += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._kept > self._limits.head_bytes:
            self._refuse(431, f"the head has more than {self._limits.head_bytes} bytes")
        elif self._reading is None and self._awaits_head():
            self._start_reading()

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._in_head, self._kept = True, 0

    def on_headers_complete(self) -> None:
        """Note that it is here."""
        super().on_headers_complete()
        self._in_head, self._kept = False, 0
        if self._reading is not None:
            self._stop_reading()

    def on_body(self, body: bytes) -> None:
        """Note that what came was no trailer."""
        super().on_body(body)
        self._kept = 0

    def pause_writing(self) -> None:
        """Watch whether the client reads."""
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _awaits_head(self) -> bool:
        """Return whether no request is in progress; what comes of a refused one's body is none."""
        return self.cycle is None or self.cycle.response_complete

    def _start_reading(self) -> None:
        self._reading = self.loop.call_later(self._limits.read_seconds, self._end_reading)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _end_reading(self) -> None:
        self._reading = None
        if self.transport.is_closing() or not self._awaits_head():
            return
        if self._in_head:
            self._refuse(408, f"the head was not here in {self._limits.read_seconds:g} s")
        else:
            self.transport.close()

    def _watch_writing(self, unsent: int) -> None:
        self._writing = self.loop.call_later(self._limits.read_seconds, self._end_writing, unsent)

    def _end_writing(self, unsent: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < unsent:
            self._watch_writing(left)
        else:
            _log.info("the client reads nothing of its answer", extra={"status": 499})
            self.transport.abort()

    def _refuse(self, status: int, text: str) -> None:
        """Close the connection with an answer, if that is not in the middle of another."""
        _log.info("a connection is closed: %s", text, extra={"status": status})
        if self._awaits_head() or not self.cycle.response_started:
            body = msgspec.json.encode({"error": text})
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json"
                f"\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
