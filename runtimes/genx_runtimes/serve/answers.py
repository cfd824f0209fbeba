"""Answers: JSON by msgspec, and errors in the shape that each API's clients know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from genx_runtimes.serve.refusals import RefusalError, explain, find_status, is_fault

_log = logging.getLogger("genx.serve")
_encode = msgspec.json.Encoder().encode
_Found = TypeVar("_Found")
Endpoint = Callable[[Request], Awaitable[Response]]
_KINDS = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_OPENAI = ("/v1/models", "/v1/images", "/v1/completions", "/v1/audio")


def answer_json(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON response."""
    return Response(
        _encode(value), status_code=status, headers=headers, media_type="application/json"
    )


def answer_error(path: str, err: Exception) -> Response:
    """Return an error as the clients of a path know it: OpenAI's, or the inference protocol's."""
    status, text = find_status(err), explain(err)
    if is_fault(err):
        _log.error("the request failed", exc_info=err)
    retry = err.retry_after_s if isinstance(err, RefusalError) else None
    headers = {} if retry is None else {"retry-after": str(retry)}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if path.startswith(_OPENAI):
        kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
        body: dict[str, object] = {
            "error": {"message": text, "type": kind, "param": None, "code": None}
        }
    else:
        body = {"error": text}
    return answer_json(body, status=status, headers=headers)


def endpoint(handler: Endpoint) -> Endpoint:
    """Return a handler whose errors are answers."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            raise
        except Exception as err:
            return answer_error(request.url.path, err)

    handle.__doc__ = handler.__doc__
    handle.__name__ = handler.__name__
    return handle


async def while_connected(request: Request, work: Coroutine[Any, Any, _Found]) -> _Found:
    """Return what `work` does, or cancel it when the client goes away.

    Raises:
        ClientDisconnect: it went away.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        gone.cancel()


class EventStream(StreamingResponse):
    """Server-sent events.

    Args:
        events: each as `event` makes it.
        close: called when the stream has ended, however it ends.

    Source: HTML Standard, "Server-sent events".
    """

    def __init__(self, events: AsyncGenerator[bytes], close: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events, self._close = events, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()
            await self._events.aclose()


def event(value: object, name: str = "") -> bytes:
    """Return one event; `value` is encoded as JSON, text is sent as it is."""
    data = value.encode() if isinstance(value, str) else _encode(value)
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + data + b"\n\n"


def event_of_error(path: str, err: Exception, name: str = "") -> bytes:
    """Return the event that an error in the middle of a stream is told by."""
    return event(bytes(answer_error(path, err).body).decode(), name)


async def _wait_gone(request: Request) -> None:
    """Wait until the client has closed the connection; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
