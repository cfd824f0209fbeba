"""The rate of matrix products in an engine: what bounds the multiply-adds of any graph in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from genx_runtimes.backends import open_session, runs_on_cpu
from genx_runtimes.bench.matmul_graph import PORTS, Dtype, describe_chain, make_chain
from genx_runtimes.errors import BackendError
from genx_runtimes.session import Session, SessionOptions, read_node_times

# Rows, width of the square matrix, and how many products follow one another. Small ones stay in a
# core's cache and their calls are short enough to fall between disturbances; large ones are for
# many cores. In a long chain, what a call adds and the copy of its result weigh less.
CHAINS = ((512, 256, 8), (512, 512, 1), (512, 512, 8), (1024, 1024, 4), (2048, 1024, 4))
SECONDS = 0.4
_WARM_UP = 2
_PRODUCTS = ("MatMul", "Gemm", "FullyConnected")  # in what engines call their nodes
_FEWEST = 4


def measure_gemm(
    backend: str,
    dtype: Dtype,
    threads: int,
    *,
    seconds: float = SECONDS,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> float:
    """Return multiply-adds a second of the best call over several chains of products.

    Args:
        backend: a name in `BACKENDS`, on the CPU.
        dtype: what the products are computed in.
        threads: of the engine.
        seconds: of each chain.
        clock: nanoseconds from any origin.

    Raises:
        BackendError: the engine is not there, refuses the graph, computes it in another dtype, or
            does not run on the CPU.
    """
    if not runs_on_cpu(backend):
        raise BackendError(f"not available for {backend}: copies to the GPU would be timed as well")
    _check_dtype(backend, dtype, threads)
    return max(_time_chain(backend, dtype, threads, chain, seconds, clock) for chain in CHAINS)


def _open(
    backend: str, dtype: Dtype, chain: tuple[int, int, int], options: SessionOptions
) -> tuple[Session, dict[str, np.ndarray]]:
    rows, size, depth = chain
    x = np.random.default_rng(1).standard_normal((rows, size), dtype=np.float32)
    component = describe_chain(dtype, size)
    model = make_chain(dtype, size, depth)
    session = open_session(model, component, backend=backend, options=options)
    return session, {"x": x.astype(PORTS[dtype])}


def _check_dtype(backend: str, dtype: Dtype, threads: int) -> None:
    """Raise unless the engine multiplies in the dtype that the graph has."""
    chain = (256, 256, 4)
    options = SessionOptions(threads=threads, batch=chain[0], profile=True)
    session, feeds = _open(backend, dtype, chain, options)
    with session:
        for _ in range(_WARM_UP + 1):
            session.run(feeds)
        nodes = read_node_times(session, _WARM_UP)
    # Anything else may have been interrupted, and then takes the most time.
    products = [node for node in nodes if any(part in node.kind for part in _PRODUCTS)]
    heaviest = max(products or nodes, key=lambda node: node.ms)
    if heaviest.dtype != dtype:
        raise BackendError(
            f"{backend} does not multiply in {dtype} here: most time goes to {heaviest.kind} in "
            f"{heaviest.dtype or 'an unknown dtype'}"
        )


def _time_chain(
    backend: str,
    dtype: Dtype,
    threads: int,
    chain: tuple[int, int, int],
    seconds: float,
    clock: Callable[[], int],
) -> float:
    rows, size, depth = chain
    session, feeds = _open(backend, dtype, chain, SessionOptions(threads=threads, batch=rows))
    with session:
        for _ in range(_WARM_UP):
            session.run(feeds)
        latencies: list[int] = []
        begun = clock()
        while len(latencies) < _FEWEST or clock() - begun < seconds * 1e9:
            start = clock()
            session.run(feeds)
            latencies.append(clock() - start)
    return rows * size * size * depth / max(min(latencies), 1) * 1e9
