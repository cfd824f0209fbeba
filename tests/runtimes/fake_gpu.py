"""A GPU and a TensorRT made of Python, with the names of the real ones, for what cannot run here.

Memory is counted, work is queued on streams and done only when they are waited for, as on a GPU: a
missing wait, copy or free shows. An engine is its ONNX file behind a word, run by onnxruntime.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum, IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

MAGIC = b"FAKE ENGINE"
_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


class Status(Enum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorIllegalAddress = 700
    cudaErrorNoDevice = 100


class FakeRuntime:
    """Stands in for `cuda.bindings.runtime`."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, *, integrated: bool = False, devices: int = 1, limit: int = 1 << 40) -> None:
        self.integrated = integrated
        self.devices = devices
        self.limit = limit
        self.name = b"Fake GPU"
        self.driver = 12060
        self.memory: dict[int, Any] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.recording: dict[int, list[Callable[[], None]]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.copies = 0
        self.launches = 0
        self.lost = False
        self._handles = iter(range(1, 1 << 30))

    @property
    def held(self) -> int:
        """How many things are allocated."""
        return len(self.memory) + len(self.streams) + len(self.graphs)

    def cudaGetDeviceCount(self) -> tuple[object, int | None]:
        return (
            (Status.cudaSuccess, self.devices) if self.devices else (Status.cudaErrorNoDevice, None)
        )

    def cudaGetDeviceProperties(self, index: int) -> tuple[object, object]:
        del index
        return Status.cudaSuccess, SimpleNamespace(
            name=self.name,
            major=8,
            minor=7,
            totalGlobalMem=8 << 30,
            integrated=int(self.integrated),
        )

    def cudaDriverGetVersion(self) -> tuple[object, int]:
        return Status.cudaSuccess, self.driver

    def cudaRuntimeGetVersion(self) -> tuple[object, int]:
        return Status.cudaSuccess, 12060

    def cudaMalloc(self, size: int) -> tuple[object, int]:
        if sum(len(block) for block in self.memory.values()) + size > self.limit:
            return Status.cudaErrorMemoryAllocation, 0
        block = (ctypes.c_byte * size)()
        address = ctypes.addressof(block)
        self.memory[address] = block
        return Status.cudaSuccess, address

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[object, int]:
        del flags
        return self.cudaMalloc(size)

    def cudaFree(self, address: int) -> tuple[object]:
        del self.memory[address]
        return (Status.cudaSuccess,)

    cudaFreeHost = cudaFree

    def cudaHostGetDevicePointer(self, address: int, flags: int) -> tuple[object, int]:
        del flags
        assert address in self.memory
        return Status.cudaSuccess, address

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[object, int]:
        assert flags == 1, "a stream must not wait for the default one"
        handle = next(self._handles)
        self.streams[handle] = []
        return Status.cudaSuccess, handle

    def cudaStreamDestroy(self, stream: int) -> tuple[object]:
        del self.streams[stream]
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[object]:
        if self.lost:
            return (Status.cudaErrorIllegalAddress,)
        for work in self.streams[stream]:
            work()
        self.streams[stream].clear()
        return (Status.cudaSuccess,)

    def cudaMemcpyAsync(
        self, to: int, source: int, size: int, kind: int, stream: int
    ) -> tuple[object]:
        del kind
        self.enqueue(stream, lambda: self._copy(to, source, size))
        return (Status.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[object]:
        del mode
        self.recording[stream] = []
        return (Status.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[object, object]:
        return Status.cudaSuccess, self.recording.pop(stream)

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[object, int]:
        del flags
        handle = next(self._handles)
        self.graphs[handle] = list(graph)
        return Status.cudaSuccess, handle

    def cudaGraphDestroy(self, graph: object) -> tuple[object]:
        del graph
        return (Status.cudaSuccess,)

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[object]:
        self.launches += 1
        for work in self.graphs[graph]:
            self.enqueue(stream, work)
        return (Status.cudaSuccess,)

    def cudaGraphExecDestroy(self, graph: int) -> tuple[object]:
        del self.graphs[graph]
        return (Status.cudaSuccess,)

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        """Queue work, or record it while the stream is recorded."""
        self.recording.get(stream, self.streams[stream]).append(work)

    def _copy(self, to: int, source: int, size: int) -> None:
        assert len(self.memory[to]) == len(self.memory[source]) == size
        ctypes.memmove(to, source, size)
        self.copies += 1


class _Named:
    """A value of a TensorRT enum."""

    def __init__(self, name: str) -> None:
        self.name = name


class FakeEngine:
    """`ICudaEngine`."""

    def __init__(self, cuda: FakeRuntime, model: bytes) -> None:
        self.cuda = cuda
        self.session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        ports = (*self.session.get_inputs(), *self.session.get_outputs())
        self.ports = {port.name: port for port in ports}
        self.refuses_contexts = False

    @property
    def num_io_tensors(self) -> int:
        return len(self.ports)

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_dtype(self, name: str) -> _Named:
        return _Named(_TYPES[self.ports[name].type])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else -1 for d in self.ports[name].shape)

    def create_execution_context(self, settings: object = None) -> FakeContext | None:
        del settings
        return None if self.refuses_contexts else FakeContext(self)

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return FakeRuntimeConfig()

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda kind: '{"Layers": ["a name alone"]}')


class FakeContext:
    """`IExecutionContext`."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address in self.engine.cuda.memory
        self.addresses[name] = address
        return True

    def infer_shapes(self) -> list[str]:
        return [i.name for i in self.engine.session.get_inputs() if i.name not in self.shapes]

    def execute_async_v3(self, stream: int) -> bool:
        self.engine.cuda.enqueue(stream, self._run)
        return True

    def _run(self) -> None:
        engine = self.engine
        feeds = {}
        for port in engine.session.get_inputs():
            block = engine.cuda.memory[self.addresses[port.name]]
            flat = np.frombuffer(bytes(block), _TYPES[port.type])
            feeds[port.name] = flat.reshape(self.shapes[port.name])
        names = [port.name for port in engine.session.get_outputs()]
        for name, array in zip(names, engine.session.run(names, feeds), strict=True):
            data = np.ascontiguousarray(array).tobytes()
            ctypes.memmove(self.addresses[name], data, len(data))


class FakeRuntimeConfig:
    """TensorRT-RTX's `IRuntimeConfig`, its cache included."""

    def __init__(self) -> None:
        self.loaded = b""
        self.cuda_graph_strategy: object = None

    def create_runtime_cache(self) -> FakeRuntimeConfig:
        return self

    def set_runtime_cache(self, cache: object) -> None:
        assert cache is self

    def deserialize(self, data: bytes) -> None:
        self.loaded = data

    def serialize(self) -> bytes:
        return b"kernels"


def make_tensorrt(cuda: FakeRuntime, name: str = "tensorrt", version: str = "10.3.0") -> ModuleType:
    """Return a module with TensorRT's names; it builds nothing but an ONNX file behind a word."""
    trt: Any = ModuleType(name)
    trt.__spec__ = ModuleSpec(name, None)
    trt.__version__ = version

    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

        def log(self, severity: object, msg: str) -> None: ...

    class IProgressMonitor: ...

    class Flags:
        TF32 = "TF32"
        VERSION_COMPATIBLE = "VERSION_COMPATIBLE"
        GPU_FALLBACK = "GPU_FALLBACK"

    class Config:
        def __init__(self) -> None:
            self.flags = {Flags.TF32}
            self.profiles: list[Any] = []
            self.progress_monitor: Any = None
            self.num_compute_capabilities = 0

        def set_compute_capability(self, capability: int, index: int) -> bool:
            assert index < self.num_compute_capabilities
            return True

        def clear_flag(self, flag: str) -> None:
            self.flags.discard(flag)

        def set_flag(self, flag: str) -> None:
            self.flags.add(flag)

        def add_optimization_profile(self, profile: Any) -> int:
            self.profiles.append(profile)
            return 0

    class Network:
        model = b""
        num_layers = 0
        num_outputs = 0

        def get_layer(self, index: int) -> Any:
            return SimpleNamespace(name=f"layer {index}", type=_Named("IDENTITY"), num_outputs=0)

    class Builder:
        num_DLA_cores = 0

        def __init__(self, logger: ILogger) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Network:
            assert flags == 2, "networks must be strongly typed"
            return Network()

        def create_builder_config(self) -> Config:
            trt.last_config = Config()
            return trt.last_config  # type: ignore[no-any-return]

        def create_optimization_profile(self) -> Any:
            shapes: dict[str, Any] = {}
            return SimpleNamespace(shapes=shapes, set_shape=lambda n, *s: shapes.update({n: s}))

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            trt.builds += 1
            assert config.profiles
            config.progress_monitor.phase_start("Building", None, 2)
            for step in range(2):
                if not config.progress_monitor.step_complete("Building", step):
                    return None
            config.progress_monitor.phase_finish("Building")
            return MAGIC + trt.spoil(network.model)

    class OnnxParser:
        num_errors = 0

        def __init__(self, network: Network, logger: ILogger) -> None:
            self.network = network

        def parse(self, model: bytes) -> bool:
            self.network.model = model
            self.network.num_layers = 1
            self.network.num_outputs = 1
            return True

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self.logger = logger
            self.engine_host_code_allowed = False

        def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
            if not data.startswith(MAGIC):
                self.logger.log(Severity.ERROR, "Magic tag does not match")
                return None
            trt.last_engine = FakeEngine(cuda, data[len(MAGIC) :])
            return trt.last_engine  # type: ignore[no-any-return]

    trt.builds = 0
    trt.spoil = lambda model: model
    trt.ILogger, trt.IProgressMonitor, trt.BuilderFlag = ILogger, IProgressMonitor, Flags
    trt.Builder, trt.OnnxParser, trt.Runtime = Builder, OnnxParser, Runtime
    trt.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    trt.ProfilingVerbosity = SimpleNamespace(DETAILED=2)
    trt.ComputeCapability = SimpleNamespace(SM75=75, SM86=86, SM89=89, SM120=120)
    trt.LayerInformationFormat = SimpleNamespace(JSON=1)
    trt.MemoryPoolType = SimpleNamespace(WORKSPACE=0)
    trt.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole", DISABLED="disabled")
    trt.nptype = lambda kind: np.dtype(kind.name).type
    return trt  # type: ignore[no-any-return]
