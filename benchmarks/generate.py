"""What handing shards out through Ray costs: digits of samples/dcgan to Parquet.

    pip install 'genx[export,parquet,ray]'
    python benchmarks/generate.py

Local mode and Ray, each as a `genx generate` of its own with as many workers of one thread, one
after another over rounds, into a new folder each time. Both make the same shards, which is checked
by their hashes. Two rates of each, in samples a second:

- whole: of the command, from its start to its end; Ray starts and ends with it. This has the bar:
  Ray at least 0.8 times the local mode;
- steady: from the first finished shard to the last, which leaves the start out.

Medians over the rounds. Exit code 1 if the bar is missed or the shards differ.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).parent.parent / "samples" / "dcgan"
GENX = [sys.executable, "-m", "genx_cli"]
MIN_RATIO = 0.8
CONTENDERS = {"local": ["--on", "local"], "ray": ["--on", "ray", "--ray-address", "local"]}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A data set that was made.

    Args:
        whole: samples a second of the command.
        steady: samples a second from the first finished shard on.
        hashes: of the shards, by name.
    """

    whole: float
    steady: float
    hashes: dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--shard-size", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    made: dict[str, list[Made]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as place:
        bundle = Path(place) / "dcgan.genx"
        subprocess.run([*GENX, "export", str(MODEL), "-o", str(bundle), "-q"], check=True)
        for number in range(args.rounds):
            for name, options in CONTENDERS.items():
                folder = Path(place) / f"{name}-{number}"
                made[name].append(make(bundle, folder, args, options))
    return report(args, made)


def make(bundle: Path, folder: Path, args: argparse.Namespace, options: list[str]) -> Made:
    """Make a data set in a process of its own, and time it."""
    command = [*GENX, "generate", str(bundle), "-o", str(folder), "-n", str(args.samples)]
    command += ["--seed", "0", "--format", "parquet", "--shard-size", str(args.shard_size)]
    command += ["--workers", str(args.workers), "--threads", "1", "-q", *options]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    shards = json.loads((folder / "dataset.json").read_bytes())["shards"]
    ends = sorted((folder / s["path"]).stat().st_mtime for s in shards)
    steady = (args.samples - shards[0]["count"]) / (ends[-1] - ends[0])
    hashes = {shard["path"]: shard["sha256"] for shard in shards}
    return Made(whole=args.samples / seconds, steady=steady, hashes=hashes)


def report(args: argparse.Namespace, made: dict[str, list[Made]]) -> int:
    """Print the medians over the rounds, and whether the bar is met."""
    print(f"load after: {os.getloadavg()[0]:.1f}")
    print(
        f"samples/dcgan, {args.samples:,} samples in shards of {args.shard_size:,} to Parquet, "
        f"{args.workers} workers of 1 thread, medians of {args.rounds} rounds"
    )
    whole = {name: statistics.median(m.whole for m in each) for name, each in made.items()}
    steady = {name: statistics.median(m.steady for m in each) for name, each in made.items()}
    for name in made:
        print(
            f"  {name:<8}whole {whole[name]:8.0f} /s  x{whole[name] / whole['local']:.3f}   "
            f"steady {steady[name]:8.0f} /s  x{steady[name] / steady['local']:.3f}"
        )
    ratio = whole["ray"] / whole["local"]
    same = len({json.dumps(m.hashes) for each in made.values() for m in each}) == 1
    bars = (
        (f"ray x{ratio:.3f} of local, at least {MIN_RATIO}", ratio >= MIN_RATIO),
        ("all shards are the same", same),
    )
    for text, met in bars:
        print(f"  {'met   ' if met else 'MISSED'} {text}")
    return 0 if all(met for _, met in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
