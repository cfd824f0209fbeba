"""Benchmarks of a bundle: what is timed, and how, is in docs/bench.md."""

from __future__ import annotations

from genx_runtimes.bench.options import BenchOptions, parse_batches
from genx_runtimes.bench.report import BenchReport, Row
from genx_runtimes.bench.run import Contender, genx_contender, run_bench

__all__ = [
    "BenchOptions",
    "BenchReport",
    "Contender",
    "Row",
    "genx_contender",
    "parse_batches",
    "run_bench",
]
