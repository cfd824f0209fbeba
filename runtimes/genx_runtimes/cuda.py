"""The part of CUDA's runtime that running an engine takes, with its errors as genx's own.

Source: CUDA Runtime API; `cuda.bindings.runtime` of the package cuda-bindings.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import BackendError, BackendUnavailableError

_NON_BLOCKING = 1  # cudaStreamNonBlocking
_MAPPED = 2  # cudaHostAllocMapped
_MIB = 2**20
_ABSENT = (
    "cudaErrorInsufficientDriver",
    "cudaErrorNoDevice",
    "cudaErrorDevicesUnavailable",
    "cudaErrorSystemDriverMismatch",
    "cudaErrorSystemNotReady",
    "cudaErrorInvalidDevice",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaDevice:
    """A GPU as CUDA sees it.

    Args:
        name: such as "Orin".
        compute_capability: such as "8.7".
        memory_mib: all of its memory in MiB; on a Jetson the CPU's as well.
        integrated: whether it shares memory with the CPU, as on a Jetson.
        driver: the newest CUDA that the driver knows, such as "12.6".
        runtime: the CUDA of cuda-bindings.
    """

    name: str
    compute_capability: str
    memory_mib: int
    integrated: bool
    driver: str
    runtime: str


class Cuda:
    """One GPU. Addresses, streams and graphs are ints or CUDA's own handles.

    Args:
        runtime: the module `cuda.bindings.runtime`; another one in tests.

    Raises:
        BackendUnavailableError: there is no GPU, or its driver is missing or too old.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        try:
            count = self._call("cudaGetDeviceCount")
        except BackendUnavailableError:
            raise
        except BackendError as err:  # whatever it is, this GPU cannot be used
            raise BackendUnavailableError(err.message, fix=err.fix) from err
        if not count:
            raise BackendUnavailableError(
                "there is no NVIDIA GPU here", fix="genx doctor shows what works here"
            )

    def describe(self, index: int = 0) -> CudaDevice:
        """Return what GPU this is."""
        properties = self._call("cudaGetDeviceProperties", index)
        name = properties.name
        return CudaDevice(
            name=name.decode() if isinstance(name, bytes) else str(name),
            compute_capability=f"{properties.major}.{properties.minor}",
            memory_mib=int(properties.totalGlobalMem) // _MIB,
            integrated=bool(properties.integrated),
            driver=_version(self._call("cudaDriverGetVersion")),
            runtime=_version(self._call("cudaRuntimeGetVersion")),
        )

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of the GPU's memory."""
        return int(self._call("cudaMalloc", size))

    def free(self, address: int) -> None:
        """Give the GPU's memory back."""
        self._call("cudaFree", address)

    def allocate_host(self, size: int, *, mapped: bool) -> int:
        """Return the address of pinned memory of the CPU, which copies run fastest with.

        Args:
            size: in bytes.
            mapped: whether the GPU can use it as it is, see `device_address`.
        """
        return int(self._call("cudaHostAlloc", size, _MAPPED if mapped else 0))

    def free_host(self, address: int) -> None:
        """Give pinned memory back."""
        self._call("cudaFreeHost", address)

    def device_address(self, host: int) -> int:
        """Return where the GPU sees mapped memory."""
        return int(self._call("cudaHostGetDevicePointer", host, 0))

    def create_stream(self) -> int:
        """Return a stream that does not wait for the default one."""
        return int(self._call("cudaStreamCreateWithFlags", _NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        """End a stream."""
        self._call("cudaStreamDestroy", stream)

    def wait(self, stream: int) -> None:
        """Wait until all work of a stream is done; errors of that work appear here."""
        self._call("cudaStreamSynchronize", stream)

    def copy_to_device(self, device: int, host: int, size: int, stream: int) -> None:
        """Start copying from pinned memory to the GPU."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", device, host, size, kind, stream)

    def copy_to_host(self, host: int, device: int, size: int, stream: int) -> None:
        """Start copying from the GPU to pinned memory."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", host, device, size, kind, stream)

    def record(self, stream: int, work: Callable[[], None]) -> object:
        """Return a graph of the work that a call starts on a stream; nothing of it is run."""
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        with ExitStack() as stack:
            try:
                work()
            finally:  # a stream that is left recording cannot be used again
                graph = self._call("cudaStreamEndCapture", stream)
                stack.callback(self._call, "cudaGraphDestroy", graph)
            return self._call("cudaGraphInstantiate", graph, 0)

    def launch(self, graph: object, stream: int) -> None:
        """Start recorded work."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: object) -> None:
        """End recorded work."""
        self._call("cudaGraphExecDestroy", graph)

    def _call(self, name: str, *args: object) -> Any:
        """Call CUDA; return its one result, or None."""
        status, *results = getattr(self._runtime, name)(*args)
        if status.name != "cudaSuccess":
            raise _explain(name, status.name)
        return results[0] if results else None


def view_host(address: int, shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
    """Return pinned memory as an array, which must not outlive it."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    buffer = memoryview((ctypes.c_byte * size).from_address(address))
    return np.frombuffer(buffer, dtype=kind).reshape(shape)


def open_cuda() -> Cuda:
    """Return the GPU.

    Raises:
        BackendUnavailableError: cuda-bindings or a GPU is missing.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as err:
        raise BackendUnavailableError(
            f"running an engine needs cuda-bindings: {err}", fix="pip install cuda-bindings"
        ) from err
    return Cuda(runtime)


def _explain(call: str, status: str) -> BackendError:
    if status in _ABSENT:
        return BackendUnavailableError(
            f"no NVIDIA GPU can be used here ({status})",
            fix="genx doctor shows what works here; an older driver wants an older cuda-bindings",
        )
    if status == "cudaErrorMemoryAllocation":
        return BackendError(
            f"the GPU is out of memory ({call})",
            fix="take a smaller --batch, or close what else uses the GPU",
        )
    return BackendError(
        f"the GPU failed in {call}: {status}", fix="start anew; if it stays so, restart the machine"
    )


def _version(number: int) -> str:
    """Return CUDA's 12060 as "12.6"."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else ""
