"""What this machine can do, measured in a process of its own for each engine.

python -m genx_runtimes.bench.ceilings < request.json > ceilings.json
"""

from __future__ import annotations

import sys

import msgspec

from genx_runtimes.bench.answering import answer
from genx_runtimes.bench.bandwidth import measure_copy_rate
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.gemm import measure_gemm
from genx_runtimes.bench.matmul_graph import PORTS, Dtype
from genx_runtimes.child import one_line, run_child
from genx_runtimes.errors import GenxError

DTYPES: tuple[Dtype, ...] = tuple(PORTS)
_TIMEOUT_S = 120.0


class CeilingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Args:
        backend: the engine.
        threads: that it runs with, and that copy memory.
        dtypes: of the products.
    """

    backend: str
    threads: int
    dtypes: tuple[Dtype, ...] = DTYPES


def ask_ceilings(
    backend: str, threads: int, *, dtypes: tuple[Dtype, ...] = DTYPES
) -> tuple[Ceiling, ...]:
    """Measure the ceilings of an engine, one for each dtype, in a new process.

    It takes some five seconds of a machine that does nothing else. What cannot be measured has a
    `failure` instead of figures; nothing is raised.

    Args:
        backend: NAME or NAME:DEVICE.
        threads: of the engine, all its sessions together.
        dtypes: of the products.
    """
    request = CeilingRequest(backend=backend, threads=threads, dtypes=dtypes)
    outcome = run_child(
        (sys.executable, "-m", "genx_runtimes.bench.ceilings"),
        data=msgspec.json.encode(request),
        timeout_s=_TIMEOUT_S,
    )
    failure = outcome.failure
    if not failure:
        try:
            return msgspec.json.decode(outcome.output, type=tuple[Ceiling, ...])
        except msgspec.MsgspecError as err:
            failure = f"the process answered no ceilings: {err}"
    return tuple(_fail(request, dtype, failure) for dtype in dtypes)


def measure_ceilings(request: CeilingRequest) -> tuple[Ceiling, ...]:
    """Measure in this process; an engine that fails is a ceiling with its reason."""
    copied = measure_copy_rate(request.threads)
    ceilings = []
    for dtype in request.dtypes:
        try:
            rate = measure_gemm(request.backend, dtype, request.threads)
        except GenxError as err:
            ceilings.append(_fail(request, dtype, one_line(err), copied))
            continue
        ceilings.append(
            Ceiling(
                backend=request.backend,
                dtype=dtype,
                threads=request.threads,
                macs_per_s=rate,
                bytes_per_s=copied,
            )
        )
    return tuple(ceilings)


def _fail(
    request: CeilingRequest, dtype: str, failure: str, copied: float | None = None
) -> Ceiling:
    return Ceiling(
        backend=request.backend,
        dtype=dtype,
        threads=request.threads,
        macs_per_s=None,
        bytes_per_s=copied,
        failure=failure,
    )


if __name__ == "__main__":
    answer(CeilingRequest, measure_ceilings)
