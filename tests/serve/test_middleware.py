"""What every request passes, in front of an application that echoes."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genx_runtimes.serve.answers import answer_error, endpoint
from genx_runtimes.serve.hosts import fold_host, is_loopback, list_hosts
from genx_runtimes.serve.logs import JsonLines
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.middleware import Guard
from genx_runtimes.serve.settings import Limits, ServeSettings

LOCAL = list_hosts("127.0.0.1", "127.0.0.1", (), keys=False)


@endpoint
async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await (await echo(Request(scope, receive)))(scope, receive, send)


class Messages:
    """What a server receives: the parts of a body, then nothing, for ever."""

    def __init__(self, parts: Iterable[bytes], *, whole: bool = True) -> None:
        self.parts, self.whole = list(parts), whole

    async def __call__(self) -> Message:
        if not self.parts:
            await asyncio.Event().wait()
        body = self.parts.pop(0)
        more = bool(self.parts) or not self.whole
        return {"type": "http.request", "body": body, "more_body": more}


def ask(
    *parts: bytes,
    settings: ServeSettings | None = None,
    app: ASGIApp = answer,
    whole: bool = True,
    path: str = "/v1/sample",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to one request."""
    fields = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    scope: Scope = {
        "type": "http",
        "asgi": {"spec_version": "2.3"},
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": fields,
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        guard = Guard(app, settings or ServeSettings(), Metrics(), {}, lambda: False)
        await guard(scope, Messages(parts or (b"",), whole=whole), send)

    asyncio.run(asyncio.wait_for(run(), 60))
    found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


def read_error(body: bytes) -> str:
    text: str = json.loads(body)["error"]
    return text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "[::1]", "LocalHost."]
)
def test_names_of_the_loopback(host: str) -> None:
    assert ask(settings=ServeSettings(allowed_hosts=LOCAL), host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", ""],
)
def test_a_name_that_was_bound_anew(host: str) -> None:
    settings = ServeSettings(allowed_hosts=LOCAL)
    for path in ("/v1/sample", "/", "/v2/health/ready"):
        status, _, body = ask(settings=settings, path=path, host=host, origin=f"http://{host}")
        assert status == 421
        assert read_error(body) == (
            f"this server is not called {host!r}; if it should be, start it with "
            f"--allowed-host NAME"
        )


def test_openai_s_clients_are_told_that_it_is_their_request() -> None:
    settings = ServeSettings(allowed_hosts=LOCAL)
    _, _, body = ask(settings=settings, path="/v1/models", host="evil.example")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_which_names_are_asked_for() -> None:
    assert list_hosts("0.0.0.0", "0.0.0.0", (), keys=False) == ()
    assert list_hosts("localhost", "127.0.0.1", (), keys=True) == ()
    assert "gpu.lan" in list_hosts("gpu.lan", "127.0.1.1", (), keys=False)
    allowed = list_hosts("0.0.0.0", "0.0.0.0", ("gpu.lan",), keys=True)
    settings = ServeSettings(allowed_hosts=allowed)
    assert ask(settings=settings, host="gpu.lan:8000")[0] == 200
    assert ask(settings=settings, host="gpu.lam:8000")[0] == 421
    assert fold_host("::1") == fold_host("[::1]:80") == "::1"


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_the_loopback(address: str, local: bool) -> None:
    assert is_loopback(address) is local


@pytest.mark.parametrize("name", ["a b", "http://a", "a:80", "*", "*.a", "", "a/b", "ä"])
def test_names_that_are_none(name: str) -> None:
    from genx_runtimes.errors import InputError

    with pytest.raises(InputError, match="allowed-host is"):
        ServeSettings(allowed_hosts=(name,))


def test_a_head_that_is_too_large() -> None:
    settings = ServeSettings(limits=Limits(head_bytes=300))
    assert ask(settings=settings, x="a" * 200)[0] == 200
    for headers in ({"x": "a" * 300}, {f"x{i}": "" for i in range(60)}):
        status, _, body = ask(settings=settings, **headers)
        assert (status, read_error(body)) == (431, "the head has more than 300 bytes")
    assert ask(settings=settings, path="/" + "a" * 300)[0] == 431


@pytest.mark.parametrize("parts", [(), (b"begin",), (b"begin", b"more")])
def test_a_body_that_does_not_come(parts: tuple[bytes, ...]) -> None:
    settings = ServeSettings(limits=Limits(read_seconds=0.05))
    status, headers, body = ask(*parts, settings=settings, whole=False)
    assert (status, read_error(body)) == (408, "the body was not here in 0.05 s")
    assert headers["connection"] == "close"


def test_a_request_that_is_cancelled_is_not_late() -> None:
    async def run() -> None:
        guard = Guard(answer, ServeSettings(), Metrics(), {}, lambda: False)
        scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "headers": []}
        work = guard({**scope, "query_string": b""}, Messages((b"",), whole=False), send)
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def send(_: Message) -> None:
        raise AssertionError("it is answered")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
def test_compressed_bodies(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    text = b"many words, " * 2000
    data = compress(text)
    parts = [data[at : at + 7] for at in range(0, len(data), 7)]
    assert ask(*parts, content_encoding=encoding)[::2] == (200, text)
    limits = ServeSettings(limits=Limits(body_bytes=len(text)))
    assert ask(data, settings=limits, content_encoding=encoding)[0] == 200


def test_a_body_that_grows() -> None:
    settings = ServeSettings(limits=Limits(body_bytes=10_000))
    bomb = gzip.compress(bytes(10_001))
    status, _, body = ask(bomb, settings=settings, content_encoding="gzip")
    assert status == 413
    assert read_error(body) == "the body is larger than 10000 bytes when it is decompressed"
    parts = [bomb[:20], bomb[20:]]
    assert ask(*parts, settings=settings, content_encoding="gzip")[0] == 413


@pytest.mark.parametrize(
    ("data", "status", "encoding", "says"),
    [
        (b"plain", 400, "gzip", "not compressed as Content-Encoding says"),
        (gzip.compress(b"text")[:-3], 400, "gzip", "ends in the middle"),
        (gzip.compress(b"text") + b"more", 400, "gzip", "has bytes behind its end"),
        (b"text", 415, "br", "Content-Encoding is 'br'; send the body as it is, or by gzip"),
        (b"text", 415, "gzip, gzip", "Content-Encoding is 'gzip, gzip'"),
    ],
    ids=["plain", "cut", "more", "br", "twice"],
)
def test_what_is_not_decompressed(data: bytes, status: int, encoding: str, says: str) -> None:
    found, _, body = ask(data, content_encoding=encoding)
    assert found == status
    assert says in read_error(body)


class Lines(logging.Handler):
    """Keeps what is logged, as the server writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]


@pytest.fixture
def lines() -> Any:
    log, handler = logging.getLogger("genx"), Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


def test_a_fault_is_logged_with_its_request(lines: Lines) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        err = ZeroDivisionError("\x1b[2J\x9b2J\u2028 of mine")
        await answer_error(scope["path"], err)(scope, receive, send)

    path = "/v1/sample/secret\n\x1b[2J"
    status, headers, body = ask(app=fail, path=path, x_request_id="mine-8")
    assert (status, read_error(body)) == (500, "the server failed; its log says more")
    assert headers["x-request-id"] == "mine-8"
    fault, request = lines.records()
    assert {fault["request_id"], request["request_id"]} == {"mine-8"}
    assert (fault["level"], fault["message"]) == ("error", "the request failed")
    assert "ZeroDivisionError" in fault["traceback"]
    assert (request["status"], request["path"]) == (500, "other")
    text = "".join(lines.texts)
    assert text.isprintable()
    assert "secret" not in text


def test_a_stream_that_nobody_reads_to_its_end_is_no_success(lines: Lines) -> None:
    async def go_on() -> Any:
        yield b"event"
        await asyncio.Event().wait()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async def leave() -> Message:
            return {"type": "http.disconnect"}

        await StreamingResponse(go_on())(scope, leave, send)

    assert ask(app=stream)[0] == 200
    assert [record["status"] for record in lines.records()] == [499]


def test_folders_are_not_told() -> None:
    from genx_runtimes.errors import BundleError, InputError
    from genx_runtimes.serve.refusals import explain

    err = BundleError("/home/me/models/tiny.genx/golden.npz is altered: '/etc/x/y', 3 images/s")
    assert explain(err) == "golden.npz is altered: 'y', 3 images/s"
    assert explain(InputError("unknown model '/a/b'")) == "unknown model '/a/b'"
    assert explain(BundleError("see https://a.example/b/c")) == "see https://a.example/b/c"
