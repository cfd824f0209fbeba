"""Many requests, good, malformed and aborted: every good one answered rightly, and nothing leaks.

    python benchmarks/serve_soak.py [--requests 10000] [BUNDLE]

Good requests ask for golden samples, which the answers are compared with, within what the bundle
states; 1 % are malformed and have to be refused, of 1 % the client goes away before the answer. The
resident memory of the server is read after the first fifth and at the end: it may differ by 5 %.
Exit code 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genx_runtimes import open_bundle
from genx_runtimes.bundle import Bundle
from genx_runtimes.verify import measure_error, measure_range

ROOT = Path(__file__).parent.parent
MAX_GROWTH = 0.05
SAMPLE = "/v1/sample"
# Path, body, status that refuses it.
MALFORMED = (
    (SAMPLE, b"{", 400),
    (SAMPLE, b'{"n": "many"}', 400),
    (SAMPLE, b'{"n": 100000}', 400),
    (SAMPLE, b'{"conditions": {"nothing": 1}}', 400),
    (SAMPLE, b"[" * 5000, 400),
    (SAMPLE, b'{"model": "of another name"}', 404),
    ("/v2/models/of%20another%20name/infer", b"{}", 404),
    ("/nothing", b"", 404),
    ("/v1/images/generations", b'{"size": "3x3", "steps": NaN}', 400),
)


@dataclass(kw_only=True)
class Found:
    """What a soak found: how many requests of each kind ended well, and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    warm_bytes: float = 0
    end_bytes: float = 0

    @property
    def growth(self) -> float:
        """How much the resident memory differs from that after the warm-up, as a share of it."""
        return self.end_bytes / self.warm_bytes - 1


class Golden:
    """The golden samples of a bundle of one pass, and how far an answer may be from them."""

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        name = f"{manifest.sampler.component}/out/{manifest.output.name}"
        self.name, self.seed = manifest.name, manifest.golden.seed
        self.samples = bundle.golden()[name]
        self.tolerance = bundle.variant().tolerance
        self.scale = measure_range(self.samples, manifest.output.range)

    def check(self, start: int, body: bytes, count: int) -> str:
        """Return what is wrong with an answer, "" if nothing is."""
        got = np.load(io.BytesIO(body))
        error, _ = measure_error(got, self.samples[start : start + count], self.scale)
        return "" if error <= self.tolerance else f"samples {start} on are off by {error:.1e}"


def soak(netloc: str, bundle: Bundle, requests: int, *, clients: int = 8, seed: int = 0) -> Found:
    """Send requests to a server that serves the bundle.

    Args:
        netloc: host and port.
        bundle: of one pass.
        requests: how many; the first fifth is the warm-up.
        clients: connections at a time.
        seed: of what is asked.
    """
    golden, found = Golden(bundle), Found()
    parts = (requests // 5, requests - requests // 5)
    with ThreadPoolExecutor(clients) as pool:
        for part, count in enumerate(parts):
            shares = [count // clients + (i < count % clients) for i in range(clients)]
            seeds = [f"{seed} {part} {i}" for i in range(clients)]
            for _ in pool.map(lambda s, n: _run(netloc, golden, found, s, n), seeds, shares):
                pass
            resident = read_resident(netloc)
            if not part:
                found.warm_bytes = resident
            found.end_bytes = resident
    return found


def _run(netloc: str, golden: Golden, found: Found, seed: str, count: int) -> None:
    """Send the requests of one client, on a connection that is kept while all goes well."""
    choose = random.Random(seed)
    connection = http.client.HTTPConnection(netloc, timeout=60)
    with closing(connection):
        for _ in range(count):
            kind = choose.random()
            if kind < 0.01:
                path, body, expected = choose.choice(MALFORMED)
                status, _ = _ask(connection, path, body)
                _note(found, "malformed", "" if status == expected else f"{body!r}: {status}")
            elif kind < 0.02:
                _abort(netloc, golden, choose)
                _note(found, "aborted", "")
            else:
                n = choose.randint(1, 3)
                start = choose.randrange(len(golden.samples) - n + 1)
                status, body = _ask(connection, SAMPLE, _want(golden, start, n))
                says = golden.check(start, body, n) if status == 200 else f"{status}: {body!r}"
                _note(found, "good", says)


def _want(golden: Golden, start: int, n: int, *, stream: bool = False) -> bytes:
    body = {"model": golden.name, "seed": golden.seed, "start": start, "n": n}
    return json.dumps({**body, "stream": True} if stream else {**body, "format": "npy"}).encode()


def _ask(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _abort(netloc: str, golden: Golden, choose: random.Random) -> None:
    """Go away in the middle of the request, before the answer, or in the middle of a stream."""
    host, _, port = netloc.partition(":")
    body = _want(golden, 0, 3, stream=choose.random() < 0.3)
    head = f"POST {SAMPLE} HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    data = head.encode() + body
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(data[: choose.choice((len(data), len(data), len(head) + 5, 10))])
        if choose.random() < 0.3:
            connection.settimeout(0.001)
            try:
                connection.recv(10)
            except TimeoutError:
                return


def _note(found: Found, kind: str, says: str) -> None:
    if says:
        found.wrong.append(f"{kind}: {says}")
    else:
        found.counts[kind] += 1


def read_resident(netloc: str) -> float:
    """Return the server's resident memory in bytes."""
    connection = http.client.HTTPConnection(netloc, timeout=60)
    with closing(connection):
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith("process_resident_memory_bytes "):
                return float(line.split()[1])
    raise LookupError("the server tells no memory")


def start_server(bundle: Path) -> Iterator[str]:
    """Start a server of a bundle; yield its host and port once it is ready, then end it."""
    command = [sys.executable, "-m", "genx_cli", "serve", str(bundle), "--port", "0"]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout
        netloc = process.stdout.readline().split(" at http://")[1].split(";")[0]
        status = 0
        while status != 200:
            connection = http.client.HTTPConnection(netloc, timeout=60)
            with closing(connection):
                connection.request("GET", "/v2/health/ready")
                status = connection.getresponse().status
        yield netloc
        process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, nargs="?", default=ROOT / "tests/data/tiny.genx")
    parser.add_argument("--requests", type=int, default=10_000)
    args = parser.parse_args()
    for netloc in start_server(args.bundle):
        found = soak(netloc, open_bundle(args.bundle), args.requests)
    print(f"{dict(found.counts)}; wrong: {len(found.wrong)}")
    for text in found.wrong[:10]:
        print(f"  {text[:300]}")
    print(
        f"resident {found.warm_bytes / 1e6:.1f} MB after the warm-up, {found.end_bytes / 1e6:.1f} "
        f"MB at the end: {found.growth:+.1%}, at most {MAX_GROWTH:.0%}"
    )
    return 0 if not found.wrong and found.growth <= MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
