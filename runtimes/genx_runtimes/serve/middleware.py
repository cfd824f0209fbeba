"""What every request passes: an id, the key, the bounds of size and number, log and metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from itertools import chain

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genx_runtimes.serve.answers import answer_error
from genx_runtimes.serve.bodies import COMPRESSED, PLAIN, BodyReader
from genx_runtimes.serve.hosts import fold_host
from genx_runtimes.serve.logs import REQUEST_ID
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.page import PAGE_FILES
from genx_runtimes.serve.refusals import (
    BusyError,
    ForbiddenError,
    LongHeadError,
    MisdirectedError,
    RefusalError,
    SlowError,
    TooLargeError,
    UnauthorisedError,
    UnsupportedError,
)
from genx_runtimes.serve.settings import ServeSettings

_log = logging.getLogger("genx.serve")
_GONE = 499  # nginx's status of a client that went away
_ENCODING = b"content-encoding"
_DIGITS = 20
_SHOWN = 99
_PER_HEADER = 4  # a colon, a space, and the line's end
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Orchestrators ask these without a key; the page holds nothing secret and asks for the key itself.
OPEN_PATHS = frozenset({*PAGE_FILES, "/v2/health/live", "/v2/health/ready"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI middleware; the innermost application is asked only for what may pass.

    Args:
        app: the application.
        settings: keys, hosts and limits.
        metrics: told of every request.
        patterns: the path of each route by its endpoint; what is counted and logged.
        is_draining: whether the server is about to end, so that connections are not kept.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        metrics: Metrics,
        patterns: Mapping[object, str],
        is_draining: Callable[[], bool],
    ) -> None:
        self._app, self._metrics = app, metrics
        self._patterns, self._is_draining = patterns, is_draining
        self._keys = tuple(key.encode() for key in settings.api_keys)
        self._hosts = frozenset(map(fold_host, settings.allowed_hosts))
        self._limits = settings.limits
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        REQUEST_ID.set(request_id)
        start, status, ended = time.perf_counter(), 500, False

        async def send_marked(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*_HEADERS, (b"x-request-id", request_id.encode())]
                if status == SlowError.status or self._is_draining():
                    own.append((b"connection", b"close"))
                known = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in own if pair[0] not in known),
                ]
            else:
                ended = not message.get("more_body", False)
            await send(message)

        encoding = headers.get(_ENCODING, b"").lower()  # RFC 9110, 8.4.1: case-insensitive
        body = BodyReader(receive, self._limits, encoding)
        self._in_progress += 1
        self._metrics.in_progress.inc()
        try:
            try:
                self._check_sender(scope["path"], headers)
                self._check_size(scope, headers, encoding)
            except RefusalError as refusal:
                await answer_error(scope["path"], refusal)(scope, receive, send_marked)
            else:
                await self._app(scope, body, send_marked)
            if not ended:  # a stream
                status = _GONE
        except ClientDisconnect:
            status = _GONE
        except asyncio.CancelledError:
            status = 503
            raise
        finally:
            self._in_progress -= 1
            self._metrics.in_progress.dec()
            seconds = time.perf_counter() - start
            path = self._patterns.get(scope.get("endpoint"), "other")
            self._metrics.note_request(path, status, seconds)
            _log.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "ms": round(seconds * 1e3, 2),
                },
            )

    def _check_sender(self, path: str, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"")
        if self._hosts and fold_host(host.decode("latin-1")) not in self._hosts:
            raise MisdirectedError(
                f"this server is not called {host[:_SHOWN].decode('latin-1')!r}",
                fix="if it should be, start it with --allowed-host NAME",
            )
        if self._keys and path not in OPEN_PATHS and not self._holds_key(headers):
            raise UnauthorisedError(
                "the API key is missing or wrong", fix="send the header Authorization: Bearer KEY"
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host:
            raise ForbiddenError("the page of another site may not use this server")
        if self._in_progress > self._limits.in_progress and path not in OPEN_PATHS:
            raise BusyError(f"{self._limits.in_progress} requests are in progress", retry_after_s=1)

    def _check_size(self, scope: Scope, headers: dict[bytes, bytes], encoding: bytes) -> None:
        fields = scope["headers"]
        size = sum(map(len, chain.from_iterable(fields))) + _PER_HEADER * len(fields)
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > self._limits.head_bytes:
            raise LongHeadError(f"the head has more than {self._limits.head_bytes} bytes")
        if encoding not in PLAIN and encoding not in COMPRESSED:
            raise UnsupportedError(
                f"Content-Encoding is {encoding[:_SHOWN].decode('latin-1')!r}",
                fix="send the body as it is, or by gzip or deflate",
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise RefusalError("Content-Length is no number")
        if len(length) > _DIGITS or int(length) > self._limits.body_bytes:
            raise TooLargeError(
                f"the body has {length[:_DIGITS].decode()} bytes, this server takes "
                f"{self._limits.body_bytes}"
            )

    def _holds_key(self, headers: dict[bytes, bytes]) -> bool:
        """Compare with every key, in a time that does not depend on how much of it is right."""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        found = [hmac.compare_digest(given, key) for key in self._keys]
        return any(found)
