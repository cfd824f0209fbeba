"""Whether the ceilings of `genx bench` are real: beside PyTorch's and OpenBLAS's products.

    python benchmarks/ceilings.py

Each in its own process, in turn over several rounds, the same threads and shapes; the best call of
all counts. PyTorch is measured by `torch.mm`, whose MKL avoids AVX-512 on AMD, and by oneDNN;
OpenBLAS, as numpy's, also with its AVX-512 kernels, which it does not choose on every CPU that has
them. Exit code 1 unless the float32 ceiling of each engine is within 15 % of the best of these.

The best of short calls survives other programs, but not any number of them: run it on a quiet
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genx_runtimes.backends import BACKENDS
from genx_runtimes.bench.ceilings import ask_ceilings
from genx_runtimes.bench.gemm import SHAPES
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.processor import read_instruction_sets

ENGINES = ("onnxruntime", "openvino")
WIDE = "OpenBLAS AVX-512"
LEAST = 0.85
Product = Callable[[], object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=count_usable_cores())
    parser.add_argument("--library", choices=sorted(LIBRARIES), help="internal")
    args = parser.parse_args()
    if args.library:
        print(json.dumps(LIBRARIES[args.library](args.threads)))
        return 0
    installed = [b.name for b in BACKENDS if b.name in ENGINES and b.is_installed()]
    instructions = read_instruction_sets() or ()
    libraries = [n for n in LIBRARIES if n != WIDE or "avx512f" in instructions]
    peers: dict[str, list[float]] = {name: [] for name in libraries}
    ours: dict[str, list[float]] = {name: [] for name in installed}
    for _ in range(args.rounds):
        for engine, rates in ours.items():
            (ceiling,) = ask_ceilings(engine, args.threads, dtypes=("fp32",))
            rates.append(ceiling.macs_per_s or 0.0)
        for library, rates in peers.items():
            rates.append(ask_library(library, args.threads))
    reference = max(max(rates) for rates in peers.values())
    print(f"float32 products, {args.threads} threads, best of {args.rounds} rounds, GMAC/s")
    for name, rates in {**peers, **ours}.items():
        each = " ".join(f"{rate / 1e9:7.1f}" for rate in rates)
        print(f"  {name:<18}{max(rates) / 1e9:8.1f}  {max(rates) / reference:5.2f}   rounds{each}")
    ratios = {engine: max(rates) / reference for engine, rates in ours.items()}
    met = all(LEAST <= ratio <= 1 / LEAST for ratio in ratios.values())
    print("  ".join(f"{engine} {ratio:.3f}" for engine, ratio in ratios.items()), end="")
    print(f" of the reference (bar: {LEAST} to {1 / LEAST:.2f})")
    print("bar met" if met else "the bar is missed")
    return 0 if met else 1


def ask_library(library: str, threads: int) -> float:
    """Return the multiply-adds a second that a library reaches in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--library", library]
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
    if library == WIDE:
        environment["OPENBLAS_CORETYPE"] = "SkylakeX"
    done = subprocess.run(
        [*command, "--threads", str(threads)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return float(json.loads(done.stdout))


def measure_torch(threads: int) -> float:
    import torch

    torch.set_num_threads(threads)

    def prepare(rows: int, size: int) -> Product:
        x, w, y = torch.randn(rows, size), torch.randn(size, size), torch.empty(rows, size)
        return lambda: torch.mm(x, w, out=y)

    return measure(prepare)


def measure_onednn(threads: int) -> float:
    import torch
    from torch.utils import mkldnn

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)

    def prepare(rows: int, size: int) -> Product:
        layer = mkldnn.to_mkldnn(torch.nn.Linear(size, size, bias=False).eval())
        x = torch.randn(rows, size).to_mkldnn()
        return lambda: layer(x)

    return measure(prepare)


def measure_numpy(threads: int) -> float:
    del threads  # set by the environment, before OpenBLAS loads

    def prepare(rows: int, size: int) -> Product:
        random = np.random.default_rng(0)
        x = random.standard_normal((rows, size), dtype=np.float32)
        w = random.standard_normal((size, size), dtype=np.float32)
        y = np.empty_like(x)
        return lambda: np.matmul(x, w, out=y)

    return measure(prepare)


def measure(prepare: Callable[[int, int], Product], seconds: float = 0.5) -> float:
    """Return multiply-adds a second of the best call over the shapes of the ceilings, and cubes."""
    best = 0.0
    for rows, size in dict.fromkeys((*SHAPES, (2048, 2048))):
        product = prepare(rows, size)
        product()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter_ns()
            product()
            best = max(best, rows * size * size / (time.perf_counter_ns() - start) * 1e9)
    return best


LIBRARIES = {
    "torch.mm": measure_torch,
    "torch oneDNN": measure_onednn,
    "OpenBLAS": measure_numpy,
    WIDE: measure_numpy,
}

if __name__ == "__main__":
    sys.exit(main())
