"""What this machine can do, measured in a process of its own for each engine and dtype.

python -m genx_runtimes.bench.ceilings < request.json > ceiling.json
"""

from __future__ import annotations

import sys

import msgspec

from genx_runtimes.bench.answering import answer
from genx_runtimes.bench.bandwidth import measure_copy_rate
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.gemm import SECONDS, measure_gemm
from genx_runtimes.bench.matmul_graph import PORTS, Dtype
from genx_runtimes.child import one_line, read_answer, run_child
from genx_runtimes.errors import GenxError

DTYPES: tuple[Dtype, ...] = tuple(PORTS)
_TIMEOUT_S = 120.0


class CeilingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Args:
        backend: the engine.
        threads: that it runs with, and that copy memory.
        dtype: of the products.
        bytes_per_s: what copying reaches, where it was measured before; None measures it.
        seconds: of each chain of products.
    """

    backend: str
    threads: int
    dtype: Dtype
    bytes_per_s: float | None = None
    seconds: float = SECONDS


def ask_ceilings(
    backend: str, threads: int, *, dtypes: tuple[Dtype, ...] = DTYPES, seconds: float = SECONDS
) -> tuple[Ceiling, ...]:
    """Measure the ceilings of an engine, one for each dtype, each in a new process.

    Copying is measured once. It takes some ten seconds of a machine that does nothing else. What
    cannot be measured has a `failure` instead of figures; nothing is raised.

    Args:
        backend: NAME or NAME:DEVICE.
        threads: of the engine, all its sessions together.
        dtypes: of the products.
        seconds: of each chain of products; beside programs that alternate with it, more.
    """
    found: list[Ceiling] = []
    copied = None
    for dtype in dtypes:
        request = CeilingRequest(
            backend=backend, threads=threads, dtype=dtype, bytes_per_s=copied, seconds=seconds
        )
        found.append(_ask(request))
        copied = copied or found[-1].bytes_per_s
    return tuple(found)


def _ask(request: CeilingRequest) -> Ceiling:
    outcome = run_child(
        (sys.executable, "-m", "genx_runtimes.bench.ceilings"),
        data=msgspec.json.encode(request),
        timeout_s=_TIMEOUT_S,
    )
    found = read_answer(outcome, Ceiling, missing="the process answered no ceiling")
    return _fail(request, found, request.bytes_per_s) if isinstance(found, str) else found


def measure_ceiling(request: CeilingRequest) -> Ceiling:
    """Measure in this process; an engine that fails is a ceiling with its reason."""
    copied = request.bytes_per_s or measure_copy_rate(request.threads)
    try:
        rate = measure_gemm(
            request.backend, request.dtype, request.threads, seconds=request.seconds
        )
    except GenxError as err:
        return _fail(request, one_line(err), copied)
    return Ceiling(
        backend=request.backend,
        dtype=request.dtype,
        threads=request.threads,
        macs_per_s=rate,
        bytes_per_s=copied,
    )


def _fail(request: CeilingRequest, failure: str, copied: float | None) -> Ceiling:
    return Ceiling(
        backend=request.backend,
        dtype=request.dtype,
        threads=request.threads,
        macs_per_s=None,
        bytes_per_s=copied,
        failure=failure,
    )


if __name__ == "__main__":
    answer(CeilingRequest, measure_ceiling)
