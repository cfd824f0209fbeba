"""Headless Chromium, and a real `genx serve` of bundles of every kind.

Skipped where Playwright or Chromium is missing; $GENX_CHROMIUM names one that is not on PATH.
`GENX_SCREENSHOTS=FOLDER` keeps the pictures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SOURCES = [str(ROOT / folder) for folder in ("gen_export", "cli", "runtimes")]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_LONG_S = 60


def _find_chromium() -> str | None:
    named = os.environ.get("GENX_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="the page is NOT tested: pip install playwright"
    )
    path = _find_chromium()
    if path is None:
        pytest.skip("the page is NOT tested: no Chromium; apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def start_server(*arguments: object) -> tuple[subprocess.Popen[str], str]:
    """Start `genx serve` on a free port; return it and its address when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "genx_cli", "serve", *map(str, arguments), "--port", "0"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        address = process.stdout.readline().split(" at ")[1].split(";")[0]
        limit = time.monotonic() + _LONG_S
        while _ask_ready(address) != 200:
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, address


def _ask_ready(address: str) -> int:
    connection = HTTPConnection(address.removeprefix("http://"), timeout=_LONG_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status
    finally:
        connection.close()


Serve = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start servers that end with the module's tests."""
    pytest.importorskip("uvicorn", reason="the page is NOT tested: pip install 'genx[serve]'")
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> tuple[subprocess.Popen[str], str]:
        process, address = start_server(*arguments)
        started.append(process)
        return process, address

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
