"""What dynamic batching gives, and what serving costs: samples/dcgan on the loopback.

    apt-get install wrk && pip install 'genx[bench,serve]'
    python benchmarks/serve.py

Each server is its own process, one after another over rounds, and so is the load generator, wrk:
each of its clients has one connection and sends the next request when it has the answer.

- 16 clients: requests a second and the 99th percentile of genx against `serve_baseline.py`, both
  with onnxruntime and fp32; and of `--backend auto` with an int8 variant, which may take another
  engine. The bar is on the first: 1.5 times the throughput at no worse p99.
- 1 client: the median of a request less that of `sampler.sample(1)` with `.images()` in a process
  of its own: at most 2 ms.

Medians over the rounds. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
MIN_RATIO, MAX_OVERHEAD_MS = 1.5, 2.0
SCRIPT = """
local n = 0
local headers = {["Content-Type"] = "application/json"}
function request()
  n = n + 1
  return wrk.format("POST", nil, headers, string.format('{"seed": %d}', n))
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests": %d, "us": %d, "p50": %d, "p99": %d, "bad": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
BARE = """
import json, sys, time
from genx_runtimes import open_bundle
sampler = open_bundle(sys.argv[1]).sampler(batch=1)
taken, end, seed = [], time.perf_counter() + float(sys.argv[2]), 0
while time.perf_counter() < end:
    start, seed = time.perf_counter(), seed + 1
    for batch in sampler.sample(1, seed=seed):
        batch.images()
    taken.append(time.perf_counter() - start)
taken = sorted(taken[len(taken) // 5:])
print(json.dumps(1e3 * taken[len(taken) // 2]))
"""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A server: how it is started, and where it is asked for a sample."""

    name: str
    command: Sequence[str]
    path: str
    ready: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a load generator saw."""

    per_second: float
    p50_ms: float
    p99_ms: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--no-auto", action="store_true", help="leave --backend auto out")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not here; apt-get install wrk")
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    crowd: dict[str, list[Figures]] = {}
    alone: dict[str, list[Figures]] = {}
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "post.lua").write_text(SCRIPT, encoding="utf-8")
        contenders = make_contenders(folder, auto=not args.no_auto)
        for _ in range(args.rounds):
            bare.append(time_bare(folder / "dcgan.genx", args.seconds / 2))
            for contender in contenders:
                with running(contender) as address:
                    load(folder, address, args.clients, 2)
                    crowd.setdefault(contender.name, []).append(
                        load(folder, address, args.clients, args.seconds)
                    )
                    load(folder, address, 1, 1)
                    alone.setdefault(contender.name, []).append(
                        load(folder, address, 1, args.seconds / 2)
                    )
    return report(args.clients, crowd, alone, statistics.median(bare))


def make_contenders(folder: Path, *, auto: bool) -> list[Contender]:
    """Export the model and return the servers to compare, the baseline first."""
    bundle, both = folder / "dcgan.genx", folder / "both" / "dcgan.genx"
    genx = [sys.executable, "-m", "genx_cli"]
    model = str(ROOT / "samples" / "dcgan")
    subprocess.run([*genx, "export", model, "-o", str(bundle), "-q"], check=True)
    graph = str(bundle / "graphs" / "fp32" / "generator.onnx")
    baseline = str(Path(__file__).with_name("serve_baseline.py"))

    def serve(name: str, path: Path, *options: str) -> Contender:
        command = [*genx, "serve", str(path), *options, "--port"]
        return Contender(name=name, command=command, path="/v1/sample", ready="/v2/health/ready")

    found = [
        Contender(
            name="baseline fp32",
            command=[sys.executable, baseline, graph],
            path="/sample",
            ready="/docs",
        ),
        serve("genx fp32", bundle),
    ]
    if auto:
        both.parent.mkdir()
        command = [*genx, "export", model, "-o", str(both), "--precision", "fp32,int8", "-q"]
        subprocess.run(command, check=True)
        subprocess.run(
            [*genx, "tune", str(both), "--batch", "16", "-q"], check=False, capture_output=True
        )
        found.append(serve("genx auto, int8", both, "--backend", "auto"))
    return found


@contextmanager
def running(contender: Contender) -> Iterator[str]:
    """Start a server, wait until it is ready, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = subprocess.DEVNULL
    process = subprocess.Popen([*contender.command, str(port)], stdout=log, stderr=log)
    try:
        limit = time.monotonic() + 600
        while not answers(address + contender.ready):
            if process.poll() is not None or time.monotonic() > limit:
                sys.exit(f"{contender.name} did not start: {' '.join(contender.command)} {port}")
            time.sleep(0.05)
        yield address + contender.path
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def load(folder: Path, url: str, clients: int, seconds: float) -> Figures:
    """Let wrk ask; any answer that is not a success ends the benchmark."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{max(seconds, 1):.0f}s", "--timeout", "60s"]
    command += ["-s", str(folder / "post.lua"), url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    line = next(text for text in done.stdout.splitlines() if text.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    if found["bad"]:
        sys.exit(f"{found['bad']} of {found['requests']} requests to {url} failed")
    return Figures(
        per_second=found["requests"] / found["us"] * 1e6,
        p50_ms=found["p50"] / 1e3,
        p99_ms=found["p99"] / 1e3,
    )


def time_bare(bundle: Path, seconds: float) -> float:
    """Return the median of one sample and its pixels in ms, without a server."""
    command = [sys.executable, "-c", BARE, str(bundle), str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout))


def report(
    clients: int,
    crowd: dict[str, list[Figures]],
    alone: dict[str, list[Figures]],
    bare_ms: float,
) -> int:
    """Print the medians over the rounds, and whether the bars are met."""
    print(f"load after: {os.getloadavg()[0]:.1f}")
    print(
        f"samples/dcgan, medians of {len(crowd['genx fp32'])} rounds; {clients} clients, 1 client"
    )
    rates, tails, singles = {}, {}, {}
    for name, figures in crowd.items():
        rates[name] = statistics.median(f.per_second for f in figures)
        tails[name] = statistics.median(f.p99_ms for f in figures)
        singles[name] = statistics.median(f.p50_ms for f in alone[name])
        print(
            f"  {name:<16}{rates[name]:8.1f} /s   p50 "
            f"{statistics.median(f.p50_ms for f in figures):7.2f} ms   p99 {tails[name]:7.2f} ms"
            f"   x{rates[name] / rates['baseline fp32']:.2f}   | {singles[name]:6.2f} ms"
        )
    print(f"  bare sampler, fp32{'':<55}| {bare_ms:6.2f} ms")
    ratio = rates["genx fp32"] / rates["baseline fp32"]
    overhead = singles["genx fp32"] - bare_ms
    bars = (
        (f"throughput x{ratio:.2f}, at least {MIN_RATIO}", ratio >= MIN_RATIO),
        ("p99 no worse", tails["genx fp32"] <= tails["baseline fp32"]),
        (f"overhead {overhead:.2f} ms, at most {MAX_OVERHEAD_MS}", overhead <= MAX_OVERHEAD_MS),
    )
    for text, met in bars:
        print(f"  {'met   ' if met else 'MISSED'} {text}")
    return 0 if all(met for _, met in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
