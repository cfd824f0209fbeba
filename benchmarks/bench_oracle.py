"""Whether `genx bench` tells the truth: against a plain loop, and against MLPerf's own LoadGen.

    python benchmarks/bench_oracle.py

On the DCGAN sample and onnxruntime at batch 1: the p50 of plain loops of 1,000 calls, and LoadGen's
single-stream 90th percentile and offline throughput, driving the same session. Each contender is a
process of its own. Those that are compared alternate every 50 ms, so that throughputs are shares of
what each would reach alone; the median of the rounds' ratios counts. One engine thread: of two, the
speed flips from process to process on a shared machine. Exit code 1 if a bar is missed. Needs
`pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alternate import run_alternately

MODEL = Path(__file__).parents[1] / "samples" / "dcgan"
LOOP_BAR = 0.05
LOADGEN_BAR = 0.10
# Of what genx does before it times anything, that it may do alone: once it times, all alternate.
SAFE_SHARE = 0.8

PLAIN = """
import sys, time
import numpy as np
from genx_runtimes import SessionOptions, open_bundle
bundle, seconds = sys.argv[1], float(sys.argv[2])
options = SessionOptions(threads=1)
with open_bundle(bundle).sampler(batch=1, options=options) as sampler:
    for index in range(200):
        next(sampler.sample(1, start=index, batch=1)).images()
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for index in range(1000):
            start = time.perf_counter()
            next(sampler.sample(1, start=2**20 + index, batch=1)).images()
            taken.append(time.perf_counter() - start)
print(float(np.median(taken)) * 1e3)
"""

LOADGEN = """
import re, sys, tempfile, time
from pathlib import Path
import mlperf_loadgen as lg
from genx_runtimes import SessionOptions, open_bundle
bundle, scenario, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
settings = lg.TestSettings()
settings.scenario = getattr(lg.TestScenario, scenario)
settings.mode = lg.TestMode.PerformanceOnly
settings.min_duration_ms = int(seconds * 1e3)
opened = open_bundle(bundle).sampler(batch=1, options=SessionOptions(threads=1))
with opened as sampler, tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    for index in range(200):
        next(sampler.sample(1, start=index, batch=1)).images()
    took = (time.perf_counter() - start) / 200
    settings.offline_expected_qps = 1 / took
    settings.single_stream_expected_latency_ns = int(took * 1e9)

    def issue(queries):
        if scenario == "Offline":
            batches = sampler.sample(len(queries), start=2**20, batch=1)
        else:
            batches = (next(sampler.sample(1, start=2**20 + q.id, batch=1)) for q in queries)
        for query, batch in zip(queries, batches, strict=True):
            batch.images()
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])

    sut = lg.ConstructSUT(issue, lambda: None)
    qsl = lg.ConstructQSL(1024, 1024, lambda samples: None, lambda samples: None)
    logs = lg.LogSettings()
    logs.log_output.outdir = folder
    logs.enable_trace = False
    lg.StartTestWithLogSettings(sut, qsl, settings, logs)
    text = (Path(folder) / "mlperf_log_summary.txt").read_text()
    found = re.search(r"90(?:\\.0+)?th percentile latency \\(ns\\) *: *(\\d+)", text)
    rate = re.search(r"Samples per second *: *([\\d.]+)", text)
    print(float(rate[1]) if scenario == "Offline" else int(found[1]) / 1e6)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="of the timing in each round")
    args = parser.parse_args()
    genx = str(Path(sys.executable).with_name("genx"))
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "dcgan.genx")
        subprocess.run([genx, "export", str(MODEL), "-o", bundle, "-q"], check=True)
        head_start_s = SAFE_SHARE * time_preparations(genx, bundle)
        for _ in range(args.rounds):
            for name, value in measure(genx, bundle, args.seconds, head_start_s).items():
                found.setdefault(name, []).append(value)
    print(f"DCGAN, onnxruntime, batch 1, {args.rounds} rounds of contenders that alternate")
    for name, values in found.items():
        each = " ".join(f"{value:9.4f}" for value in values)
        print(f"  {name:<22}{statistics.median(values):10.4f}   rounds {each}")
    bars = (
        ("genx bench p50 ms", "plain loop p50 ms", LOOP_BAR),
        ("genx bench p90 ms", "LoadGen p90 ms", LOADGEN_BAR),
        ("genx bench samples/s", "LoadGen samples/s", LOADGEN_BAR),
    )
    verdicts = [holds(found, *bar) for bar in bars]
    return 0 if all(verdicts) else 1


def time_preparations(genx: str, bundle: str) -> float:
    """Return the least seconds that `genx bench` takes beside the timing: once it is compiled."""
    seconds, found = 1.0, []
    command = ask_genx(genx, bundle, "single-stream", seconds)
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - start - seconds)
    return min(found)


def ask_genx(genx: str, bundle: str, scenario: str, seconds: float) -> list[str]:
    """Return the command of one row, measured in one process, as JSON."""
    command = [genx, "bench", bundle, "--scenario", scenario, "--min-duration", str(seconds)]
    return [*command, "--batch", "1", "--threads", "1", "--rounds", "1", "--json", "-"]


def measure(genx: str, bundle: str, seconds: float, head_start_s: float) -> dict[str, float]:
    """Return what each contender says in one round."""
    python = [sys.executable, "-c"]
    latency = run_alternately(
        {
            "genx": ask_genx(genx, bundle, "single-stream", seconds),
            "plain loop": [*python, PLAIN, bundle, str(seconds)],
            "LoadGen": [*python, LOADGEN, bundle, "SingleStream", str(seconds)],
        },
        head_starts_s={"genx": head_start_s},
    )
    throughput = run_alternately(
        {
            "genx": ask_genx(genx, bundle, "offline", seconds),
            "LoadGen": [*python, LOADGEN, bundle, "Offline", str(seconds)],
        },
        head_starts_s={"genx": head_start_s},
    )
    (single,), (offline,) = (json.loads(told["genx"])["rows"] for told in (latency, throughput))
    return {
        "genx bench p50 ms": single["latency"]["p50_ms"],
        "plain loop p50 ms": read_last(latency["plain loop"]),
        "genx bench p90 ms": single["metric"]["value"],
        "LoadGen p90 ms": read_last(latency["LoadGen"]),
        "genx bench samples/s": offline["metric"]["value"],
        "LoadGen samples/s": read_last(throughput["LoadGen"]),
    }


def read_last(told: str) -> float:
    """Return the figure of a contender's last line; LoadGen prints others before it."""
    return float(told.splitlines()[-1])


def holds(found: dict[str, list[float]], ours: str, theirs: str, bar: float) -> bool:
    """Print the median of the rounds' ratios beside its bar, and return whether it is met."""
    ratio = statistics.median(a / b for a, b in zip(found[ours], found[theirs], strict=True))
    met = abs(ratio - 1) <= bar
    verdict = "met   " if met else "MISSED"
    print(f"{verdict}  {ours} / {theirs} = {ratio:.3f} (bar: 1 within {bar:.0%})")
    return met


if __name__ == "__main__":
    sys.exit(main())
