"""Running the server: one process, one event loop, an end that answers what was accepted."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

import msgspec
import uvicorn

from genx_runtimes.bundle import Bundle
from genx_runtimes.serve.app import make_app
from genx_runtimes.serve.settings import ServeSettings

_FIELDS = ("request_id", "method", "path", "status", "ms", "model")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, level, message, and what is known of the request."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def run_server(
    bundles: Sequence[Bundle],
    settings: ServeSettings,
    *,
    host: str,
    port: int,
    started: Callable[[str], None],
) -> bool:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and end.

    Args:
        bundles: opened.
        settings: how they are served.
        host: address to listen at.
        port: 0 takes a free one.
        started: told the address once the port is open.

    Returns:
        whether it listened at all.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("genx")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    app = make_app(bundles, settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=int(settings.limits.seconds) + 5,
    )
    server = _Server(config, started)
    server.run()
    return server.started


class _Server(uvicorn.Server):
    """Tells its address when it can be asked."""

    def __init__(self, config: uvicorn.Config, told: Callable[[str], None]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._told(f"http://{shown}:{port}")
