"""What a machine can do, and whether that is measured on the right thing."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from genx_runtimes.backends import find_backend, open_session
from genx_runtimes.bench import bandwidth, ceilings, gemm
from genx_runtimes.bench.bandwidth import choose_size, measure_copy_rate, read_cache_bytes
from genx_runtimes.bench.ceilings import CeilingRequest, ask_ceilings, measure_ceiling
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.gemm import measure_gemm
from genx_runtimes.bench.matmul_graph import PORTS, Dtype, describe_chain, make_chain
from genx_runtimes.child import Outcome
from genx_runtimes.errors import BackendError

ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(not find_backend(name).is_installed(), reason="not installed"),
    )
    for name in ("onnxruntime", "openvino")
]
# Weights and activations of 8 bits, over four products.
ERRORS: dict[Dtype, float] = {"fp32": 1e-5, "fp16": 2e-2, "int8": 0.2}


def tick(nanoseconds: int) -> Callable[[], int]:
    """Return a clock that goes on by that much with each look."""
    time = iter(range(0, 2**62, nanoseconds))
    return lambda: next(time)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "CHAINS", ((8, 32, 3), (16, 16, 4)))
    monkeypatch.setattr(bandwidth, "_LEAST", 4096)
    monkeypatch.setattr(bandwidth, "_MOST", 4096)


def make_weights(size: int) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    return drawn / np.float32(np.sqrt(size))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_a_chain_is_the_product_that_it_says(engine: str, dtype: Dtype) -> None:
    size, depth = 64, 3
    x = np.random.default_rng(1).standard_normal((5, size), dtype=np.float32)
    expected = x @ np.linalg.matrix_power(make_weights(size), depth)
    model, component = make_chain(dtype, size, depth), describe_chain(dtype, size)
    with open_session(model, component, backend=engine) as session:
        y = session.run({"x": x.astype(PORTS[dtype])})["y"]
    assert y.dtype == PORTS[dtype]
    assert np.abs(y - expected).max() < ERRORS[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_int8_chain_rounds_and_keeps_its_spread(engine: str) -> None:
    size = 256
    x = np.random.default_rng(1).standard_normal((64, size), dtype=np.float32)
    random = np.random.default_rng(0).integers(-127, 128, (size, size), dtype=np.int8)
    expected = x @ (random * np.float32(np.sqrt(3 / size) / 127))
    model, component = make_chain("int8", size, 1), describe_chain("int8", size)
    with open_session(model, component, backend=engine) as session:
        y = session.run({"x": x})["y"]
    assert 0.9 < y.std() < 1.1
    assert np.abs(y - expected).max() < ERRORS["int8"] * np.abs(expected).max()


@pytest.mark.usefixtures("quick")
def test_the_rate_is_that_of_the_best_call() -> None:
    # Every look at the clock costs a microsecond, so does every call: the larger chain is faster.
    rate = measure_gemm("onnxruntime", "fp32", 1, seconds=0, clock=tick(1000))
    assert rate == 8 * 32 * 32 * 3 / 1e-6


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("quick")
def test_int8_products_are_computed_in_int8(engine: str) -> None:
    assert measure_gemm(engine, "int8", 1, seconds=0) > 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("quick")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="others multiply in fp16")
def test_products_in_another_dtype_are_no_ceiling(engine: str) -> None:
    with pytest.raises(BackendError, match=f"{engine} does not multiply in fp16 here"):
        measure_gemm(engine, "fp16", 1)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx", "onnxruntime:cuda"])
def test_a_gpu_has_none_yet(backend: str) -> None:
    with pytest.raises(BackendError, match=f"not available for {backend}"):
        measure_gemm(backend, "fp32", 1)


@pytest.mark.usefixtures("quick")
def test_what_fails_is_a_ceiling_with_its_reason() -> None:
    failed = measure_ceiling(CeilingRequest(backend="null", threads=1, dtype="fp32", seconds=0))
    assert failed.macs_per_s is None
    assert failed.failure == "this backend does not tell what each node took"
    assert failed.bytes_per_s
    good = measure_ceiling(
        CeilingRequest(backend="onnxruntime", threads=1, dtype="fp32", seconds=0)
    )
    assert good.macs_per_s
    assert not good.failure


def test_a_process_of_its_own_answers() -> None:
    fp32, int8 = ask_ceilings("null", 1, dtypes=("fp32", "int8"))
    assert (fp32.dtype, int8.dtype) == ("fp32", "int8")
    assert fp32.bytes_per_s
    assert "does not tell" in fp32.failure


def test_a_dtype_that_crashes_its_process_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: list[float | None] = []

    def answer(command: object, *, data: bytes, timeout_s: float) -> Outcome:
        del command, timeout_s
        asked = msgspec.json.decode(data, type=CeilingRequest)
        known.append(asked.bytes_per_s)
        if asked.dtype == "fp16":
            return Outcome(output=b"", failure="was killed by SIGILL")
        made = Ceiling(
            backend=asked.backend, dtype=asked.dtype, threads=1, macs_per_s=2.0, bytes_per_s=3.0
        )
        return Outcome(output=msgspec.json.encode(made))

    monkeypatch.setattr(ceilings, "run_child", answer)
    found = {c.dtype: (c.macs_per_s, c.failure) for c in ask_ceilings("onnxruntime", 1)}
    assert found == {"fp32": (2.0, ""), "fp16": (None, "was killed by SIGILL"), "int8": (2.0, "")}
    assert known == [None, 3.0, 3.0]  # copying is measured once


def test_a_process_that_dies_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings.sys, "executable", "/nowhere/python")
    for ceiling in ask_ceilings("onnxruntime", 1):
        assert ceiling.failure.startswith("cannot be started")
        assert ceiling.bytes_per_s is None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("threads", [1, 3])
def test_copies_count_what_is_read_and_written(threads: int) -> None:
    assert measure_copy_rate(threads, clock=tick(1000)) == 2 * 4096 / 1e-6


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cache"
    for index, size in enumerate(("48K", "1024K", "32M")):
        (folder / f"index{index}").mkdir(parents=True)
        (folder / f"index{index}" / "size").write_text(f"{size}\n", encoding="ascii")
    return tmp_path


def test_the_buffer_lies_beyond_the_caches(caches: Path, tmp_path: Path) -> None:
    assert read_cache_bytes(caches) == 32 * 2**20
    assert read_cache_bytes(tmp_path / "none") is None
    assert choose_size(None) == choose_size(2**20) == 128 * 2**20
    assert choose_size(64 * 2**20) == 256 * 2**20
    assert choose_size(2**30) == 512 * 2**20
