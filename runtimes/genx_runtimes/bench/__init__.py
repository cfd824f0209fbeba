"""Benchmarks of bundles: what is timed, and how, is in docs/bench.md."""

from __future__ import annotations

from genx_runtimes.bench.contender import Contender, genx_contender
from genx_runtimes.bench.options import BenchOptions, parse_batches, parse_scenarios
from genx_runtimes.bench.record import BenchReport, Row, decode_report, encode_report
from genx_runtimes.bench.run import run_bench

__all__ = [
    "BenchOptions",
    "BenchReport",
    "Contender",
    "Row",
    "decode_report",
    "encode_report",
    "genx_contender",
    "parse_batches",
    "parse_scenarios",
    "run_bench",
]
