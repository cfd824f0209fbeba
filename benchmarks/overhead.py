"""What genx adds to each call of the engine, at batch 1.

    python benchmarks/overhead.py

Two comparisons on samples/dcgan:

- session.run of genx against `InferenceSession.run`, the same fixed feeds: this has the bar;
- whole sample: latents, run and pixels, by `sampler.sample(...)` with `.images()` against the same
  by hand (numpy's default_rng, `InferenceSession.run`, scaling to uint8). By hand, a sample depends
  on those drawn before it and NaN goes unseen: the difference is what the sampling contract costs.

Both sides of a comparison call one and the same loaded engine, in turn call by call, in several
processes one after another: an engine loaded twice differs from itself by more than is measured
here. Medians over all calls are compared. Exit code 1 if the bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from genx_runtimes.backends.onnxruntime import OnnxRuntimeSession
from genx_runtimes.bench.measure import warm_up
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.session import Session, SessionOptions

MODEL = Path(__file__).parent.parent / "samples" / "dcgan"
MAX_RATIO = 1.05
BARRED = "session.run"
Call = Callable[[], object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each comparison and round")
    parser.add_argument("--threads", type=int, default=count_usable_cores())
    parser.add_argument("--worker", nargs=2, metavar=("COMPARISON", "BUNDLE"), help="internal")
    args = parser.parse_args()
    if args.worker:
        work(args.worker[0], open_bundle(args.worker[1]), args.threads, args.seconds)
        return 0
    latencies: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in COMPARISONS}
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "dcgan.genx")
        genx = Path(sys.executable).with_name("genx")
        subprocess.run([genx, "export", MODEL, "-o", bundle, "-q"], check=True)
        for _ in range(args.rounds):
            for name, sides in latencies.items():
                for side, more in zip(sides, ask_worker(name, bundle, args), strict=True):
                    side.extend(more)
    print(f"samples/dcgan, batch 1, {args.threads} threads, median of all calls")
    met = True
    for name, sides in latencies.items():
        mine, theirs = map(statistics.median, sides)
        barred = name == BARRED
        met = met and (not barred or mine / theirs <= MAX_RATIO)
        print(
            f"  {name:<14}genx {mine / 1e3:8.1f} us   bare {theirs / 1e3:8.1f} us   "
            f"ratio {mine / theirs:.3f}" + (f"  (bar: at most {MAX_RATIO})" if barred else "")
        )
    print("bar met" if met else "the bar is missed")
    return 0 if met else 1


def ask_worker(name: str, bundle: str, args: argparse.Namespace) -> list[list[int]]:
    """Time one comparison in its own process; return the latencies of both sides in ns."""
    command = [sys.executable, __file__, "--threads", str(args.threads)]
    command += ["--seconds", str(args.seconds), "--worker", name, bundle]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    sides: list[list[int]] = json.loads(done.stdout)
    return sides


def work(name: str, bundle: Bundle, threads: int, seconds: float) -> None:
    """Time both sides in turn, call by call, and print their latencies as JSON."""
    calls = COMPARISONS[name](bundle, SessionOptions(threads=threads))
    for call in calls:
        warm_up(call, limit_s=2.0)
    latencies: tuple[list[int], list[int]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for call, taken in zip(calls, latencies, strict=True):
            start = time.perf_counter_ns()
            call()
            taken.append(time.perf_counter_ns() - start)
    print(json.dumps(latencies))


def compare_run(bundle: Bundle, options: SessionOptions) -> tuple[Call, Call]:
    session = bundle.session("generator", options=options)
    z = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    feeds = {"z": z, "label": np.zeros(1, np.int64)}
    engine = find_engine(session)
    names = [output.name for output in engine.get_outputs()]
    return lambda: session.run(feeds), lambda: engine.run(names, feeds)


def compare_sample(bundle: Bundle, options: SessionOptions) -> tuple[Call, Call]:
    sampler = bundle.sampler(options=options)
    engine = find_engine(sampler.session)
    random = np.random.default_rng(0)
    names = [output.name for output in engine.get_outputs()]
    indices = itertools.count()

    def by_genx() -> object:
        return [b.images() for b in sampler.sample(1, seed=0, start=next(indices), batch=1)]

    def by_hand() -> object:
        z = random.standard_normal((1, 64), dtype=np.float32)
        label = random.integers(0, 10, size=1)
        (image,) = engine.run(names, {"z": z, "label": label})
        scaled = np.clip(np.rint((image + 1.0) * 127.5), 0, 255)
        return scaled.astype(np.uint8).transpose(0, 2, 3, 1)

    return by_genx, by_hand


def find_engine(session: Session) -> ort.InferenceSession:
    """Return the onnxruntime session inside."""
    assert isinstance(session, OnnxRuntimeSession)
    (engine,) = session._sessions.values()
    return engine


COMPARISONS = {"session.run": compare_run, "whole sample": compare_sample}

if __name__ == "__main__":
    sys.exit(main())
