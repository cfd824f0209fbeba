"""What every request passes: an id, the key, the bounds of size and number, log and metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genx_runtimes.serve.answers import answer_error
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.refusals import (
    BusyError,
    ForbiddenError,
    RefusalError,
    TooLargeError,
    UnauthorisedError,
)
from genx_runtimes.serve.settings import ServeSettings

_log = logging.getLogger("genx.serve")
_GONE = 499  # nginx's status of a client that went away
_DIGITS = 20
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Orchestrators ask these without a key; the page holds nothing secret and asks for the key itself.
OPEN_PATHS = frozenset({"/", "/page.js", "/page.css", "/v2/health/live", "/v2/health/ready"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI middleware; the innermost application is asked only for what may pass.

    Args:
        app: the application.
        settings: keys and limits.
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
        start, status = time.perf_counter(), 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*_HEADERS, (b"x-request-id", request_id.encode())]
                if self._is_draining():
                    own.append((b"connection", b"close"))
                known = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in own if pair[0] not in known),
                ]
            await send(message)

        body = _BoundedBody(receive, self._limits.body_bytes)
        self._in_progress += 1
        self._metrics.in_progress.inc()
        try:
            refusal = self._refuse(scope["path"], headers)
            if refusal is not None:
                await answer_error(scope["path"], refusal)(scope, receive, send_marked)
            else:
                await self._app(scope, body, send_marked)
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
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "ms": round(seconds * 1e3, 2),
                },
            )

    def _refuse(self, path: str, headers: dict[bytes, bytes]) -> Exception | None:
        if self._keys and path not in OPEN_PATHS and not self._holds_key(headers):
            return UnauthorisedError(
                "the API key is missing or wrong", fix="send the header Authorization: Bearer KEY"
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
            return ForbiddenError("the page of another site may not use this server")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return RefusalError("Content-Length is no number")
        if len(length) > _DIGITS or int(length) > self._limits.body_bytes:
            return TooLargeError(
                f"the body has {length[:_DIGITS].decode()} bytes, this server takes "
                f"{self._limits.body_bytes}"
            )
        if self._in_progress > self._limits.in_progress and path not in OPEN_PATHS:
            return BusyError(
                f"{self._limits.in_progress} requests are in progress", retry_after_s=1
            )
        return None

    def _holds_key(self, headers: dict[bytes, bytes]) -> bool:
        """Compare with every key, in a time that does not depend on how much of it is right."""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        found = [hmac.compare_digest(given, key) for key in self._keys]
        return any(found)


class _BoundedBody:
    """Receives a request's body up to a bound, whatever its header says."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._seen = receive, limit, 0

    async def __call__(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise TooLargeError(f"the body is larger than {self._limit} bytes")
        return message
