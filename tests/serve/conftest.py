"""A real `genx serve` on a free port of the loopback, and bundles to serve."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SOURCES = [str(ROOT / name) for name in ("runtimes", "gen_export", "cli")]
TINY, TOKENS, DIFFUSION = (DATA / f"{n}.genx" for n in ("tiny", "tiny_tokens", "tiny_diffusion"))
RECURRENT = DATA / "tiny_recurrent.genx"
_LONG_S = 60


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an HTTP request got."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Server:
    """A server process; its stdout and log are kept."""

    process: subprocess.Popen[str]
    address: str = ""
    log: list[str] = field(default_factory=list)
    lines: queue.Queue[str] = field(default_factory=queue.Queue)

    @property
    def netloc(self) -> str:
        return self.address.removeprefix("http://")

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send one request on its own connection."""
        connection = HTTPConnection(self.netloc, timeout=_LONG_S)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, data, named)
            got = connection.getresponse()
            found = {name.lower(): value for name, value in got.getheaders()}
            return Answer(status=got.status, headers=found, body=got.read())
        finally:
            connection.close()

    def metric(self, line: str) -> float:
        """Return the value of one line of /metrics; 0 where it is not there yet."""
        for text in self.ask("GET", "/metrics").body.decode().splitlines():
            if text.startswith(line + " "):
                return float(text.rpartition(" ")[2])
        return 0.0

    def records(self) -> list[dict[str, Any]]:
        """Return the log, a record a line."""
        return [json.loads(line) for line in self.log]

    def wait_until(self, met: Callable[[], bool]) -> None:
        limit = time.monotonic() + _LONG_S
        while not met():
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < limit, "".join(self.log)
            time.sleep(0.02)

    def wait_ready(self) -> None:
        self.wait_until(lambda: self.ask("GET", "/v2/health/ready").status == 200)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_LONG_S)


Start = Callable[..., Server]


def start_server(*arguments: object, ready: bool = True) -> Server:
    """Start `genx serve` on a free port, and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "genx_cli", "serve", *map(str, arguments), "--port", "0"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server(process=process)
    assert process.stdout
    assert process.stderr
    readers = ((process.stdout, server.lines.put), (process.stderr, server.log.append))
    for pipe, keep in readers:
        threading.Thread(target=_drain, args=(pipe, keep), daemon=True).start()
    try:
        server.address = server.lines.get(timeout=_LONG_S).split(" at ")[1].split(";")[0]
        if ready:
            server.wait_ready()
    except BaseException:
        process.kill()
        process.wait()
        raise AssertionError("".join(server.log)) from None
    return server


def _drain(pipe: Any, keep: Callable[[str], None]) -> None:
    with pipe:
        for line in pipe:
            keep(line)


@pytest.fixture
def serve(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Start servers that end with the test."""
    started: list[Server] = []
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    # What a shell runs in the background ignores SIGINT, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments: object, ready: bool = True) -> Server:
        started.append(start_server(*arguments, ready=ready))
        return started[-1]

    try:
        yield start
    finally:
        signal.signal(signal.SIGINT, before)
        for server in started:
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server of several bundles for tests that leave it as it was."""
    started = start_server(TINY, TOKENS, DIFFUSION)
    yield started
    started.process.kill()
    started.process.wait()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each kind of loop."""
    from tests.kinds import make_enlarger, make_pixels

    folder = tmp_path_factory.mktemp("kinds")
    return {
        "feedforward": TINY,
        "recurrent": RECURRENT,
        "tokens": TOKENS,
        "diffusion": DIFFUSION,
        "pixels": make_pixels(folder),
        "translate": make_enlarger(folder),
    }


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    """A bundle to be changed."""
    shutil.copytree(TINY, tmp_path / "tiny.genx")
    return tmp_path / "tiny.genx"
