"""What handing shards out through Ray costs: digits of samples/dcgan to Parquet.

    pip install 'genx[export,parquet,ray]'
    python benchmarks/generate.py

Local mode and Ray, each as a `genx generate` of its own with as many workers of one thread, one
after another over rounds, into a new folder each time. Both make the same shards, which is checked
by their hashes. Of each:

- rate: samples a second from when every worker has finished its first shard to the end. This has
  the bar: Ray at least 0.8 times the local mode;
- start: seconds from the start of the command to the first finished shard; on Ray, a Ray starts,
  which weighs less the more samples there are (`--samples`);
- whole: samples a second from the start of the command to its end.

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
        rate: samples a second, when every worker is warm.
        start: seconds to the first finished shard.
        whole: samples a second of the command.
        hashes: of the shards, by name.
    """

    rate: float
    start: float
    whole: float
    hashes: dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--shard-size", type=int, default=10_000)
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
    start, begun = time.perf_counter(), time.time()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    shards = json.loads((folder / "dataset.json").read_bytes())["shards"]
    ends = sorted(((folder / s["path"]).stat().st_mtime, s["count"]) for s in shards)
    rest = sum(count for _, count in ends[args.workers :])
    return Made(
        rate=rest / (ends[-1][0] - ends[args.workers - 1][0]),
        start=ends[0][0] - begun,
        whole=args.samples / seconds,
        hashes={shard["path"]: shard["sha256"] for shard in shards},
    )


def report(args: argparse.Namespace, made: dict[str, list[Made]]) -> int:
    """Print the medians over the rounds, and whether the bar is met."""
    print(f"load after: {os.getloadavg()[0]:.1f}")
    print(
        f"samples/dcgan, {args.samples:,} samples in shards of {args.shard_size:,} to Parquet, "
        f"{args.workers} workers of 1 thread, medians of {args.rounds} rounds"
    )
    rates = {name: statistics.median(m.rate for m in each) for name, each in made.items()}
    for name, each in made.items():
        print(
            f"  {name:<8}{rates[name]:8.0f} /s   x{rates[name] / rates['local']:.3f}   "
            f"start {statistics.median(m.start for m in each):5.1f} s   "
            f"whole {statistics.median(m.whole for m in each):8.0f} /s"
        )
    ratio = rates["ray"] / rates["local"]
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
