"""Whether `genx bench` says the same thing twice, and says when it cannot know.

    python benchmarks/bench_repeat.py

Five runs in a row of the ratio between two engines on the DCGAN sample, as the report has it; then
one with a background load on one core, which must be called noisy. One engine thread unless said
otherwise: of two, the speed flips from process to process on a shared machine, and `genx bench`
calls such rows unstable. Exit code 1 if a bar is missed. Needs the extra `openvino`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODEL = Path(__file__).parents[1] / "samples" / "dcgan"
BAR = 0.05
ENGINES = ("onnxruntime", "openvino")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0, help="timed, of each row")
    parser.add_argument("--threads", type=int, default=1, help="of each engine")
    parser.add_argument("--rounds", type=int, help="of the engines, each in new processes")
    args = parser.parse_args()
    genx = str(Path(sys.executable).with_name("genx"))
    with tempfile.TemporaryDirectory() as folder:
        bundle = str(Path(folder) / "dcgan.genx")
        subprocess.run([genx, "export", str(MODEL), "-o", bundle, "-q"], check=True)
        command = [genx, "bench", bundle, "--batch", str(args.batch), "--json", "-"]
        command += ["--min-duration", str(args.seconds), "--backend", ",".join(ENGINES)]
        command += ["--threads", str(args.threads)]
        command += ["--rounds", str(args.rounds)] if args.rounds is not None else []
        ratios = []
        for run in range(args.runs):
            rows = measure(command)["rows"]
            found = rows[1]["speedup"]
            ratios.append(found["ratio"])
            between = f"{found['interval']['low']:.4f} to {found['interval']['high']:.4f}"
            verdicts = ", ".join(row["verdict"] for row in rows)
            print(
                f"  run {run + 1}: {ENGINES[1]} is {ratios[-1]:.4f} x as fast as {ENGINES[0]}, "
                f"{between}  ({verdicts})",
                flush=True,
            )
        load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            loaded = measure(command)["verdict"]
        finally:
            load.kill()
            load.wait()
    spread = (max(ratios) - min(ratios)) / statistics.median(ratios)
    repeats, noticed = spread <= BAR, loaded == "noisy"
    print(f"{'met   ' if repeats else 'MISSED'}  ratios {spread:.1%} apart (bar: {BAR:.0%})")
    print(f"{'met   ' if noticed else 'MISSED'}  beside a load on one core: {loaded}")
    return 0 if repeats and noticed else 1


def measure(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


if __name__ == "__main__":
    sys.exit(main())
