"""Whether the ceilings of `genx bench` are real: beside PyTorch's and OpenBLAS's products.

    python benchmarks/ceilings.py

Each in its own process, all alternating every 0.1 s, the same threads; the best call of all rounds
counts. PyTorch is measured by `torch.mm`, whose MKL avoids AVX-512 on AMD, and by oneDNN;
OpenBLAS, as numpy's, also with its AVX-512 kernels, which it does not choose on every CPU that has
them. Exit code 1 unless the float32 ceiling of each engine is within 15 % of the best of these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from alternate import run_alternately

from genx_runtimes.backends import BACKENDS
from genx_runtimes.bench.ceilings import ask_ceilings
from genx_runtimes.bench.gemm import CHAINS
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.processor import read_instruction_sets

ENGINES = ("onnxruntime", "openvino")
WIDE = "OpenBLAS AVX-512"
LEAST = 0.85
MOMENT_S = 0.1
# Makes the product of (rows, size) and (size, size).
Prepare = Callable[[int, int], Callable[[], object]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each shape, shared by all")
    parser.add_argument("--threads", type=int, default=count_usable_cores())
    parser.add_argument("--contender", help="internal")
    args = parser.parse_args()
    if args.contender:
        print(json.dumps(measure_contender(args.contender, args.threads, args.seconds)))
        return 0
    installed = [b.name for b in BACKENDS if b.name in ENGINES and b.is_installed()]
    instructions = read_instruction_sets() or ()
    libraries = [n for n in LIBRARIES if n != WIDE or "avx512f" in instructions]
    commands = {n: make_command(n, args.threads, args.seconds) for n in (*libraries, *installed)}
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, told in run_alternately(commands, moment_s=MOMENT_S).items():
            rates[name].append(json.loads(told))
    reference = max(max(rates[name]) for name in libraries)
    print(f"float32 products, {args.threads} threads, best of {args.rounds} rounds, GMAC/s")
    for name, found in rates.items():
        each = " ".join(f"{rate / 1e9:7.1f}" for rate in found)
        print(f"  {name:<18}{max(found) / 1e9:8.1f}  {max(found) / reference:5.2f}   rounds{each}")
    ratios = {engine: max(rates[engine]) / reference for engine in installed}
    met = all(LEAST <= ratio <= 1 / LEAST for ratio in ratios.values())
    print("  ".join(f"{engine} {ratio:.3f}" for engine, ratio in ratios.items()), end="")
    print(f" of the reference (bar: {LEAST} to {1 / LEAST:.2f})")
    print("bar met" if met else "the bar is missed")
    return 0 if met else 1


def make_command(name: str, threads: int, seconds: float) -> list[str]:
    """Return what runs a contender in a process of its own."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    settings = [f"{variable}={threads}" for variable in variables]
    if name == WIDE:
        settings.append("OPENBLAS_CORETYPE=SkylakeX")
    own = [sys.executable, str(Path(__file__)), "--contender", name]
    return ["env", *settings, *own, "--threads", str(threads), "--seconds", str(seconds)]


def measure_contender(name: str, threads: int, seconds: float) -> float:
    """Return the multiply-adds a second that a library or an engine reaches."""
    if name in LIBRARIES:
        return measure(LIBRARIES[name](threads), seconds)
    (ceiling,) = ask_ceilings(name, threads, dtypes=("fp32",), seconds=seconds)
    return ceiling.macs_per_s or 0.0


def prepare_torch(threads: int) -> Prepare:
    import torch

    torch.set_num_threads(threads)

    def prepare(rows: int, size: int) -> Callable[[], object]:
        x, w, y = torch.randn(rows, size), torch.randn(size, size), torch.empty(rows, size)
        return lambda: torch.mm(x, w, out=y)

    return prepare


def prepare_onednn(threads: int) -> Prepare:
    import torch
    from torch.utils import mkldnn

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)

    def prepare(rows: int, size: int) -> Callable[[], object]:
        layer = mkldnn.to_mkldnn(torch.nn.Linear(size, size, bias=False).eval())
        x = torch.randn(rows, size).to_mkldnn()
        return lambda: layer(x)

    return prepare


def prepare_numpy(threads: int) -> Prepare:
    del threads  # set by the environment, before OpenBLAS loads

    def prepare(rows: int, size: int) -> Callable[[], object]:
        random = np.random.default_rng(0)
        x = random.standard_normal((rows, size), dtype=np.float32)
        w = random.standard_normal((size, size), dtype=np.float32)
        y = np.empty_like(x)
        return lambda: np.matmul(x, w, out=y)

    return prepare


def measure(prepare: Prepare, seconds: float) -> float:
    """Return multiply-adds a second of the best call over the shapes of the ceilings, and cubes."""
    best = 0.0
    shapes = [(rows, size) for rows, size, _ in CHAINS]
    for rows, size in dict.fromkeys((*shapes, (256, 256), (2048, 2048))):
        product = prepare(rows, size)
        product()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter_ns()
            product()
            best = max(best, rows * size * size / (time.perf_counter_ns() - start) * 1e9)
    return best


LIBRARIES = {
    "torch.mm": prepare_torch,
    "torch oneDNN": prepare_onednn,
    "OpenBLAS": prepare_numpy,
    WIDE: prepare_numpy,
}

if __name__ == "__main__":
    sys.exit(main())
