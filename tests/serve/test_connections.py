"""What a client may do with a connection, on raw sockets of a loop of the test's own."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from genx_runtimes.serve.connections import BoundedProtocol
from genx_runtimes.serve.settings import Limits

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\nab"


class Client:
    """A connection; what is not read waits in a small buffer, and then at the server."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._unread = b""

    async def connect(self, port: int) -> None:
        await self._loop.sock_connect(self._socket, ("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def read(self) -> bytes:
        """Return what there is, b"" where the connection has ended."""
        with suppress(ConnectionError):
            return await self._loop.sock_recv(self._socket, 2**15)
        return b""

    async def read_answer(self) -> tuple[int, bytes]:
        while (end := self._unread.find(b"\r\n\r\n") + 4) < 4:
            self._unread += await self.read_on()
        head, rest = self._unread[:end], self._unread[end:]
        fields = dict(line.split(b": ", 1) for line in head.splitlines()[1:-1])
        size = int(fields[b"content-length"])
        while len(rest) < size:
            rest += await self.read_on()
        self._unread = rest[size:]
        return int(head.split()[1]), rest[:size]

    async def read_on(self) -> bytes:
        data = await self.read()
        assert data, "the connection has ended"
        return data

    async def read_refusal(self) -> tuple[int, str]:
        status, body = await self.read_answer()
        assert await self.read() == b""  # closed
        return status, json.loads(body)["error"]

    def close(self) -> None:
        self._socket.close()


Ask = Callable[[], Awaitable[Client]]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(body)(scope, receive, send)


def run(
    test: Callable[[Ask], Coroutine[Any, Any, None]], limits: Limits, app: ASGIApp = echo
) -> None:
    """Run a test with what opens connections to a server of these limits."""

    async def serve() -> None:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        state = ServerState()

        def accept() -> BoundedProtocol:
            return BoundedProtocol(limits=limits, config=config, server_state=state, app_state={})

        clients: list[Client] = []
        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)

        async def ask() -> Client:
            clients.append(Client())
            await clients[-1].connect(server.sockets[0].getsockname()[1])
            return clients[-1]

        try:
            await asyncio.wait_for(test(ask), 60)
        finally:
            for client in clients:
                client.close()
            server.close()
            while state.connections or state.tasks:
                await asyncio.sleep(0.01)

    asyncio.run(serve())


def test_what_does_not_come_is_not_waited_for() -> None:
    async def test(ask: Ask) -> None:
        silent, slow, again = await ask(), await ask(), await ask()
        await slow.send(HEAD + b"X-Long")
        await again.send(WHOLE)
        assert await again.read_answer() == (200, b"ab")
        await again.send(b"\r\n")  # uvicorn's keep-alive is over, and no request has begun
        assert await slow.read_refusal() == (408, "the head was not here in 0.5 s")
        assert await silent.read() == b""
        assert await again.read() == b""

    run(test, Limits(read_seconds=0.5))


def test_a_head_may_come_in_parts() -> None:
    async def test(ask: Ask) -> None:
        client = await ask()
        for _ in range(2):
            for at in range(0, len(WHOLE), 9):
                await client.send(WHOLE[at : at + 9])
                await asyncio.sleep(0.001)
            assert await client.read_answer() == (200, b"ab")

    run(test, Limits(head_bytes=len(WHOLE)))


def test_a_body_is_no_head() -> None:
    async def test(ask: Ask) -> None:
        client = await ask()
        await client.send(HEAD + b"Content-Length: 90000\r\n\r\n")
        for _ in range(9):
            await client.send(b"x" * 10_000)
            await asyncio.sleep(0.001)
        assert await client.read_answer() == (200, b"x" * 90_000)

    run(test, Limits(head_bytes=100))


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (HEAD, b"X: " + b"a" * 60 + b"\r\n"),
        (HEAD + b"X: ", b"a" * 60),
        (b"POST /", b"a" * 60),
        (b"\r\n", b"\r\n" * 30),
        # Trailers, which llhttp takes for headers.
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
            b"X: " + b"a" * 60 + b"\r\n",
        ),
    ],
)
def test_a_head_without_end(first: bytes, part: bytes) -> None:
    async def test(ask: Ask) -> None:
        client = await ask()

        async def send() -> None:
            with suppress(ConnectionError):
                await client.send(first)
                for _ in range(1000):
                    await client.send(part)
                    await asyncio.sleep(0)

        sending = asyncio.ensure_future(send())
        assert await client.read_refusal() == (431, "the head has more than 500 bytes")
        await sending

    run(test, Limits(head_bytes=500))


def test_one_connection_too_many() -> None:
    async def test(ask: Ask) -> None:
        held = [await ask() for _ in range(2)]
        for client in held:
            await client.send(WHOLE)
            assert await client.read_answer() == (200, b"ab")
        assert await (await ask()).read_refusal() == (503, "2 connections are open")
        await held[1].send(WHOLE)
        assert await held[1].read_answer() == (200, b"ab")
        held[0].close()
        status = 503
        while status == 503:  # until the server has seen it
            client = await ask()
            with suppress(ConnectionError):
                await client.send(WHOLE)
            status, _ = await client.read_answer()
            if status == 503:
                client.close()
        assert status == 200

    run(test, Limits(connections=2))


def test_a_client_that_does_not_read_is_left() -> None:
    left = asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):  # more than the buffers on the way hold
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async def test(ask: Ask) -> None:
        client = await ask()
        await client.send(WHOLE)
        await left.wait()

    run(test, Limits(read_seconds=0.2), stream)


class SlowTransport(asyncio.Transport):
    """One whose client reads less and less, and then nothing."""

    def __init__(self, unsent: list[int]) -> None:
        super().__init__()
        self.unsent, self.aborted = unsent, asyncio.Event()

    def get_write_buffer_size(self) -> int:
        return self.unsent.pop(0)

    def abort(self) -> None:
        self.aborted.set()


@pytest.mark.parametrize("unsent", [[100, 90, 10, 9, 9], [100, 101], [5, 5]])
def test_a_client_that_reads_slowly_is_not(unsent: list[int]) -> None:
    async def test() -> None:
        protocol = BoundedProtocol(
            limits=Limits(read_seconds=0.01),
            config=uvicorn.Config(echo, log_config=None),
            server_state=ServerState(),
            app_state={},
        )
        protocol.transport = transport = SlowTransport(unsent)
        protocol.flow = FlowControl(transport)
        protocol.pause_writing()
        await asyncio.wait_for(transport.aborted.wait(), 60)
        assert unsent == []

    asyncio.run(test())
