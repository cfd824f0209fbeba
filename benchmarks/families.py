"""Sampling loops against PyTorch eager doing the same sampling, each on all cores.

    python benchmarks/families.py
    python benchmarks/families.py --only pixelcnn --rounds 5

Each model of `samples/` is exported; genx runs its bundle on each engine, in fp32 and, where the
bundle has it, int8. PyTorch runs the original weights in a loop written as one would write it there
(`torch_loops/`). Both are measured with one thread and with all, and the better one counts. Every
contender has a process of its own and they take turns; latencies of all rounds are pooled. Exit
code 1 if a bar is missed. Needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from genx_export import export
from genx_runtimes import open_bundle
from genx_runtimes.backends import find_backend
from genx_runtimes.bench.contender import Contender
from genx_runtimes.bench.options import BenchOptions
from genx_runtimes.bench.record import BenchReport
from genx_runtimes.bench.run import run_bench
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.processor import read_cpu_model

ROOT = Path(__file__).parents[1]
ENGINES = ("onnxruntime", "openvino")
BATCH = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model, and how much faster than PyTorch it is to be.

    Args:
        name: of the folder in `samples/`.
        loops: modules in `torch_loops` that sample it in PyTorch; the first is what the bar is for.
        bar: PyTorch's median over genx's, each with its better thread count.
        precision: variants of the bundle.
    """

    name: str
    loops: tuple[str, ...]
    bar: float
    precision: tuple[str, ...] = ("fp32",)


FAMILIES = (
    Family(name="crgan", loops=("crgan", "crgan_whole"), bar=3.0),
    Family(name="char_transformer", loops=("char_transformer",), bar=3.0),
    Family(name="pixelcnn", loops=("pixelcnn",), bar=10.0),
    Family(name="diffusion", loops=("diffusion",), bar=1.5),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=[f.name for f in FAMILIES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="timed, of each contender")
    args = parser.parse_args()
    paths = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    print(
        f"{read_cpu_model()}, {count_usable_cores()} threads, batch {BATCH}, {args.rounds} rounds"
    )
    met = True
    for family in FAMILIES:
        if args.only and family.name not in args.only:
            continue
        met = measure_family(family, rounds=args.rounds, seconds=args.seconds) and met
    return 0 if met else 1


def measure_family(family: Family, *, rounds: int, seconds: float) -> bool:
    """Print what one family takes; return whether its bar is met."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{family.name}.genx"
        export(ROOT / "samples" / family.name, path, precision=family.precision)
        bundle = open_bundle(path)
        threads = sorted({1, count_usable_cores()}, reverse=True)
        contenders = [
            Contender(
                bundle=bundle,
                name=f"pytorch eager, {loop}, {count} threads",
                module=f"torch_loops.{loop}",
                backend="torch",
                threads=count,
            )
            for loop in family.loops
            for count in threads
        ]
        references = [c.name for c in contenders if c.module == f"torch_loops.{family.loops[0]}"]
        engines = [name for name in ENGINES if find_backend(name).is_installed()]
        contenders += [
            Contender(
                bundle=bundle,
                name=f"genx {engine} {variant.name}, {count} threads",
                backend=engine,
                variant=variant.name,
                threads=count,
            )
            for engine in engines
            for variant in bundle.manifest.variants
            for count in threads
        ]
        options = BenchOptions(
            batches=(BATCH,), rounds=rounds, min_duration_s=seconds, min_count=15, examine=False
        )
        report = run_bench(contenders, options)
    return print_family(family, report, references)


def print_family(family: Family, report: BenchReport, references: list[str]) -> bool:
    """Print a table and the bar; return whether it is met."""
    print(f"\n{family.name}\n  {'':42} median ms   best ms  / fastest genx")
    measured = {row.contender: row.latency for row in report.rows if row.latency}
    fastest = min(
        (latency.p50_ms for name, latency in measured.items() if name.startswith("genx")),
        default=None,
    )
    for row in report.rows:
        if row.latency is None or fastest is None:
            print(f"  {row.contender:42} {row.reasons[0]}")
            continue
        ratio = row.latency.p50_ms / fastest
        marks = "" if row.verdict == "valid" else f"  {row.verdict}: {row.reasons[0]}"
        print(
            f"  {row.contender:42}{row.latency.p50_ms:10.2f}{row.latency.best_ms:10.2f}"
            f"{ratio:11.2f}{marks}"
        )
    known = [name for name in references if name in measured]
    if fastest is None or not known:
        print(f"MISSED  {family.name}: not measured")
        return False
    reference = min(known, key=lambda name: measured[name].p50_ms)
    ratio = measured[reference].p50_ms / fastest
    met = ratio >= family.bar
    verdict = "met   " if met else "MISSED"
    print(f"{verdict}  {family.name}: {ratio:.2f} x as fast as {reference} (bar: {family.bar:g})")
    return met


if __name__ == "__main__":
    sys.exit(main())
