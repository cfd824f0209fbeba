"""The rate of matrix products in an engine: what bounds the multiply-adds of any graph in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from genx_runtimes.backends import open_session, runs_on_cpu
from genx_runtimes.bench.matmul_graph import PORTS, Dtype, describe_chain, make_chain
from genx_runtimes.errors import BackendError
from genx_runtimes.session import Session, SessionOptions, read_node_times

# Rows, and width of the square matrix: wide products, and the flat ones of small batches.
SHAPES = ((512, 512), (1024, 1024), (2048, 1024), (256, 2048))
# In a chain, what a call adds and the copy of its result weigh less.
_DEPTH = 4
_SECONDS = 0.4
_WARM_UP = 2
_PRODUCTS = ("MatMul", "Gemm", "FullyConnected")  # in what engines call their nodes
_FEWEST = 4


def measure_gemm(
    backend: str, dtype: Dtype, threads: int, *, clock: Callable[[], int] = time.perf_counter_ns
) -> float:
    """Return multiply-adds a second of the best call over several shapes.

    Args:
        backend: a name in `BACKENDS`, on the CPU.
        dtype: what the products are computed in.
        threads: of the engine.
        clock: nanoseconds from any origin.

    Raises:
        BackendError: the engine is not there, refuses the graph, computes it in another dtype, or
            does not run on the CPU.
    """
    if not runs_on_cpu(backend):
        raise BackendError(f"not available for {backend}: copies to the GPU would be timed as well")
    _check_dtype(backend, dtype, threads)
    return max(_time_shape(backend, dtype, threads, shape, clock) for shape in SHAPES)


def _open(
    backend: str, dtype: Dtype, shape: tuple[int, int], options: SessionOptions
) -> tuple[Session, dict[str, np.ndarray]]:
    rows, size = shape
    x = np.random.default_rng(1).standard_normal((rows, size), dtype=np.float32)
    component = describe_chain(dtype, size)
    model = make_chain(dtype, size, _DEPTH)
    session = open_session(model, component, backend=backend, options=options)
    return session, {"x": x.astype(PORTS[dtype])}


def _check_dtype(backend: str, dtype: Dtype, threads: int) -> None:
    """Raise unless the engine multiplies in the dtype that the graph has."""
    shape = (256, 256)
    options = SessionOptions(threads=threads, batch=shape[0], profile=True)
    session, feeds = _open(backend, dtype, shape, options)
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


def _time_shape(
    backend: str, dtype: Dtype, threads: int, shape: tuple[int, int], clock: Callable[[], int]
) -> float:
    session, feeds = _open(backend, dtype, shape, SessionOptions(threads=threads, batch=shape[0]))
    with session:
        for _ in range(_WARM_UP):
            session.run(feeds)
        latencies: list[int] = []
        begun = clock()
        while len(latencies) < _FEWEST or clock() - begun < _SECONDS * 1e9:
            start = clock()
            session.run(feeds)
            latencies.append(clock() - start)
    rows, size = shape
    return rows * size * size * _DEPTH / max(min(latencies), 1) * 1e9
