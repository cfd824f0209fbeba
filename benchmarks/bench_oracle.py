"""Whether `genx bench` tells the truth: against a plain loop, and against MLPerf's own LoadGen.

    python benchmarks/bench_oracle.py

On the DCGAN sample and onnxruntime at batch 1: the p50 of a plain loop of 1,000 calls, and
LoadGen's single-stream 90th percentile and offline throughput, driving the same session. Each
contender is a process of its own; they take turns, and medians of the rounds are compared. One
engine thread: of two, the speed flips from process to process on a shared machine. Exit code 1 if a
bar is missed. Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = Path(__file__).parents[1] / "samples" / "dcgan"
LOOP_BAR = 0.05
LOADGEN_BAR = 0.10

PLAIN = """
import sys, time
import numpy as np
from genx_runtimes import SessionOptions, open_bundle
taken = []
options = SessionOptions(threads=1)
with open_bundle(sys.argv[1]).sampler(batch=1, options=options) as sampler:
    for index in range(1200):
        start = time.perf_counter()
        next(sampler.sample(1, start=index, batch=1)).images()
        taken.append(time.perf_counter() - start)
print(float(np.median(taken[200:])) * 1e3)
"""

LOADGEN = """
import re, sys, tempfile
from pathlib import Path
import mlperf_loadgen as lg
from genx_runtimes import SessionOptions, open_bundle
bundle, scenario, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
settings = lg.TestSettings()
settings.scenario = getattr(lg.TestScenario, scenario)
settings.mode = lg.TestMode.PerformanceOnly
settings.min_duration_ms = int(seconds * 1e3)
settings.offline_expected_qps = 4000
settings.single_stream_expected_latency_ns = 300_000
opened = open_bundle(bundle).sampler(batch=1, options=SessionOptions(threads=1))
with opened as sampler, tempfile.TemporaryDirectory() as folder:
    for index in range(200):
        next(sampler.sample(1, start=index, batch=1)).images()

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
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    args = parser.parse_args()
    genx = str(Path(sys.executable).with_name("genx"))
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "dcgan.genx")
        subprocess.run([genx, "export", str(MODEL), "-o", bundle, "-q"], check=True)
        own = [genx, "bench", bundle, "--batch", "1", "--rounds", "1", "--json", "-"]
        own += ["--threads", "1"]
        own += ["--min-duration", str(args.seconds), "--scenario", "single-stream,offline"]
        python = [sys.executable, "-c"]
        found: dict[str, list[float]] = {}

        def note(name: str, value: float) -> None:
            found.setdefault(name, []).append(value)

        for _ in range(args.rounds):
            single, offline = json.loads(ask(own))["rows"]
            note("genx bench p50 ms", single["latency"]["p50_ms"])
            note("genx bench p90 ms", single["metric"]["value"])
            note("genx bench samples/s", offline["metric"]["value"])
            note("plain loop p50 ms", float(ask([*python, PLAIN, bundle])))
            for scenario, name in (("SingleStream", "p90 ms"), ("Offline", "samples/s")):
                command = [*python, LOADGEN, bundle, scenario, str(args.seconds)]
                note(f"LoadGen {name}", float(ask(command)))
    medians = {name: statistics.median(values) for name, values in found.items()}
    print(f"DCGAN, onnxruntime, batch 1, median of {args.rounds} rounds in turn")
    for name, value in medians.items():
        print(f"  {name:<22}{value:12.4f}   {min(found[name]):.4f} to {max(found[name]):.4f}")
    met = True
    for ours, theirs, bar in (
        ("genx bench p50 ms", "plain loop p50 ms", LOOP_BAR),
        ("genx bench p90 ms", "LoadGen p90 ms", LOADGEN_BAR),
        ("genx bench samples/s", "LoadGen samples/s", LOADGEN_BAR),
    ):
        ratio = medians[ours] / medians[theirs]
        holds = abs(ratio - 1) <= bar
        met = met and holds
        verdict = "met   " if holds else "MISSED"
        print(f"{verdict}  {ours} / {theirs} = {ratio:.3f} (bar: 1 within {bar:.0%})")
    return 0 if met else 1


def ask(command: list[str]) -> str:
    """Run a contender and return the last line that it printed, or all of its JSON."""
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return text if text.startswith("{") else text.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
