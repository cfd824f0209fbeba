"""Running the server: one process, one event loop, an end that answers what was accepted."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import FrameType

import uvicorn

from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError
from genx_runtimes.serve.app import make_app
from genx_runtimes.serve.connections import BoundedProtocol
from genx_runtimes.serve.hosts import list_hosts
from genx_runtimes.serve.logs import JsonLines
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.settings import ServeSettings

_LEAVE_S = 0.5


def run_server(
    bundles: Sequence[Bundle],
    settings: ServeSettings,
    *,
    host: str,
    port: int,
    started: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT, answer what was accepted, and let the signal end the process.

    After SIGTERM the server is not ready any more, and for half a second more each answer closes
    its connection, so that no client sends on one that is about to be closed. SIGINT is a person
    who waits: the port is closed at once.

    Args:
        bundles: opened.
        settings: how they are served; at the loopback, where no key is asked for, `allowed_hosts`
            are names beside its own.
        host: address to listen at.
        port: 0 takes a free one.
        started: told the address once the port is open.

    Raises:
        InputError: the address cannot be listened at, or two bundles have the same name.
        KeyboardInterrupt: the end after SIGINT.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("genx", logging.INFO), ("uvicorn", logging.WARNING)):
        log = logging.getLogger(name)
        log.addHandler(handler)
        log.setLevel(level)
    with _listen(host, port) as listener:
        address, number = listener.getsockname()[:2]
        hosts = list_hosts(host, address, settings.allowed_hosts, keys=bool(settings.api_keys))
        app = make_app(bundles, replace(settings, allowed_hosts=hosts))
        config = uvicorn.Config(
            app,
            http=partial(BoundedProtocol, limits=settings.limits),  # type: ignore[arg-type]
            ws="none",  # it would come past the guard
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_graceful_shutdown=math.ceil(settings.limits.seconds) + 5,
        )
        shown = f"[{address}]" if ":" in address else address
        _Server(
            config,
            app.state.repository,
            started=lambda: started(f"http://{shown}:{number}"),
        ).run([listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as err:
        number = err.errno or 0
        reason = os.strerror(number) if number > 0 else err.strerror  # below 0: of getaddrinfo
        raise InputError(
            f"cannot listen at {host}, port {port}: {reason}",
            fix="choose others with --host and --port; port 0 takes a free one",
        ) from err


class _Server(uvicorn.Server):
    """Tells when it can be asked, and lets clients leave before it ends."""

    def __init__(
        self, config: uvicorn.Config, repository: Repository, *, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._repository, self._tell = repository, started
        self._ending_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port."""
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second signal ends sooner."""
        if sig == signal.SIGTERM and not self._repository.draining:
            self._captured_signals.append(sig)
            self._ending_at = time.monotonic() + _LEAVE_S
        else:
            super().handle_exit(sig, frame)
        self._repository.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to close the port."""
        if self._ending_at is not None and time.monotonic() >= self._ending_at:
            self.should_exit = True
        return await super().on_tick(counter)
