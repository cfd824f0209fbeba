"""What genx adds to each call of the engine, at batch 1.

    python benchmarks/overhead.py

Two comparisons on samples/dcgan, the same graph, session options and thread count on both sides:

- session.run of genx against `InferenceSession.run`, the same fixed feeds: this has the bar;
- whole sample: latents, run and pixels, by `sampler.sample(...)` with `.images()` against the same
  by hand (numpy's default_rng, `InferenceSession.run`, scaling to uint8). By hand, a sample depends
  on those drawn before it and NaN goes unseen: the difference is what the sampling contract costs.

Each contender runs in its own process, in turn over several rounds. Medians over all calls are
compared. Exit code 1 if the bar is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from genx_runtimes.bench.measure import time_calls, warm_up
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.session import SessionOptions

MODEL = Path(__file__).parent.parent / "samples" / "dcgan"
MAX_RATIO = 1.05
BARRED = "session.run"
PAIRS = {"session.run": ("genx_run", "bare_run"), "whole sample": ("genx_sample", "bare_sample")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contender and round")
    parser.add_argument("--threads", type=int, default=count_usable_cores())
    parser.add_argument("--worker", nargs=2, metavar=("CONTENDER", "BUNDLE"), help="internal")
    args = parser.parse_args()
    if args.worker:
        work(args.worker[0], open_bundle(args.worker[1]), args.threads, args.seconds)
        return 0
    latencies: dict[str, list[int]] = {name: [] for pair in PAIRS.values() for name in pair}
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "dcgan.genx")
        genx = Path(sys.executable).with_name("genx")
        subprocess.run([genx, "export", MODEL, "-o", bundle, "-q"], check=True)
        for _ in range(args.rounds):
            for name in latencies:
                latencies[name] += ask_worker(name, bundle, args.threads, args.seconds)
    print(f"samples/dcgan, batch 1, {args.threads} threads, median of all calls")
    met = True
    for what, (ours, bare) in PAIRS.items():
        mine, theirs = statistics.median(latencies[ours]), statistics.median(latencies[bare])
        barred = what == BARRED
        met = met and (not barred or mine / theirs <= MAX_RATIO)
        print(
            f"  {what:<14}genx {mine / 1e3:8.1f} us   bare {theirs / 1e3:8.1f} us   "
            f"ratio {mine / theirs:.3f}" + (f"  (bar: at most {MAX_RATIO})" if barred else "")
        )
    print("bar met" if met else "the bar is missed")
    return 0 if met else 1


def ask_worker(name: str, bundle: str, threads: int, seconds: float) -> list[int]:
    """Time one contender in its own process; return latencies in ns."""
    command = [sys.executable, __file__, "--threads", str(threads), "--seconds", str(seconds)]
    done = subprocess.run(
        [*command, "--worker", name, bundle], check=True, stdout=subprocess.PIPE, text=True
    )
    return [int(value) for value in json.loads(done.stdout)]


def work(name: str, bundle: Bundle, threads: int, seconds: float) -> None:
    """Time one contender in this process and print its latencies as JSON."""
    call = CONTENDERS[name](bundle, threads)
    warm_up(call, limit_s=2.0)
    print(json.dumps(time_calls(call, seconds=seconds)))


def genx_run(bundle: Bundle, threads: int) -> Callable[[], object]:
    session = bundle.session("generator", options=SessionOptions(threads=threads))
    feeds = fixed_feeds()
    return lambda: session.run(feeds)


def bare_run(bundle: Bundle, threads: int) -> Callable[[], object]:
    session = open_bare(bundle, threads)
    feeds = fixed_feeds()
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(names, feeds)


def genx_sample(bundle: Bundle, threads: int) -> Callable[[], object]:
    sampler = bundle.sampler(options=SessionOptions(threads=threads))
    state = {"next": 0}

    def call() -> object:
        start = state["next"]
        state["next"] += 1
        return [b.images() for b in sampler.sample(1, seed=0, start=start, batch=1)]

    return call


def bare_sample(bundle: Bundle, threads: int) -> Callable[[], object]:
    session = open_bare(bundle, threads)
    random = np.random.default_rng(0)
    names = [output.name for output in session.get_outputs()]

    def call() -> object:
        z = random.standard_normal((1, 64), dtype=np.float32)
        label = random.integers(0, 10, size=1)
        (image,) = session.run(names, {"z": z, "label": label})
        scaled = np.clip(np.rint((image + 1.0) * 127.5), 0, 255)
        return scaled.astype(np.uint8).transpose(0, 2, 3, 1)

    return call


def open_bare(bundle: Bundle, threads: int) -> ort.InferenceSession:
    """Open the same graph with the settings that genx uses, without genx."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    graph = bundle.read_graph("generator")
    return ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])


def fixed_feeds() -> dict[str, np.ndarray]:
    z = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    return {"z": z, "label": np.zeros(1, np.int64)}


CONTENDERS: dict[str, Callable[[Bundle, int], Callable[[], object]]] = {
    "genx_run": genx_run,
    "bare_run": bare_run,
    "genx_sample": genx_sample,
    "bare_sample": bare_sample,
}

if __name__ == "__main__":
    sys.exit(main())
