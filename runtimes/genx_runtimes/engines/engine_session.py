"""An engine that is loaded on a GPU and runs: buffers and CUDA graphs made once a batch size.

Source: TensorRT's Python API, `ICudaEngine`, `IExecutionContext`; CUDA's stream capture as in
TensorRT's developer guide, "CUDA Graphs".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genx_runtimes.cuda import Cuda, view_host
from genx_runtimes.engines.flavours import LOG, Loaded
from genx_runtimes.engines.precision import read_inspector
from genx_runtimes.engines.store import Engine
from genx_runtimes.errors import BackendError, InputError, OutputError
from genx_runtimes.manifest import BatchBounds, ComponentSpec, TensorSpec
from genx_runtimes.session import Array, Closing, check_feeds
from genx_runtimes.writing import write_whole

# While one batch computes, the next is fed and the one before it read.
_AHEAD = 2
# Each lane holds a context with scratch memory for the largest batch: the oldest idle one goes.
_KEPT = 4


class _Buffer(NamedTuple):
    """Memory of one input or output: an array over pinned memory, and where the GPU has it."""

    array: Array
    host: int
    device: int
    size: int


@dataclass(slots=True)
class _Lane:
    """What calls at one batch size use, one at a time; busy from its start to its end."""

    batch: int
    context: Any
    stream: int
    inputs: Mapping[str, _Buffer]
    outputs: Mapping[str, _Buffer]
    graph: object | None = None
    busy: bool = False
    resources: ExitStack = field(default_factory=ExitStack)


class EngineSession(Closing):
    """An engine on a GPU.

    Args:
        loaded: the TensorRT that built it.
        engine: checked; its sidecar says that it is valid here.
        component: what the manifest says of the graph.
        cuda: the GPU.
        graphs: whether repeated batch sizes are replayed as CUDA graphs.
        kernels: where tensorrt-rtx keeps compiled kernels; None keeps none.

    Raises:
        BackendError: TensorRT refuses the engine, or memory runs out; nothing stays allocated.
    """

    def __init__(
        self,
        loaded: Loaded,
        engine: Engine,
        component: ComponentSpec,
        cuda: Cuda,
        *,
        graphs: bool = True,
        kernels: Path | None = None,
    ) -> None:
        self._loaded = loaded
        self._component = component
        self._cuda = cuda
        self._batch = engine.sidecar.key.settings.batch
        self._graphs = graphs
        self._shared = cuda.describe().integrated
        self._lanes: list[_Lane] = []
        self._kernels_path = kernels
        self._kernels: Any = None
        self._kept = b""
        self._closed = False
        self._runtime: Any = None
        self._engine = self._deserialise(engine)
        self._check_tensors()
        self._settings = self._configure()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The component's inputs."""
        return self._component.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The component's outputs."""
        return self._component.outputs

    @property
    def bounds(self) -> BatchBounds:
        """The batch sizes that the engine takes."""
        return BatchBounds(min=self._batch.min, max=self._batch.max)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, see `Session.run`."""
        return self._collect(self._submit(feeds))

    def run_batches(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """Run the graph on one batch after another; the next is fed while one computes.

        Args:
            batches: feeds as for `run`; drawn one ahead of what is returned.
        """
        running: deque[_Lane] = deque()
        try:
            for feeds in batches:
                running.append(self._submit(feeds))
                if len(running) == _AHEAD:
                    yield self._collect(running.popleft())
            while running:
                yield self._collect(running.popleft())
        finally:  # whoever stops early leaves no work behind
            for lane in running:
                lane.busy = False
                if not self._closed:
                    with suppress(BackendError):
                        self._cuda.wait(lane.stream)

    def inspect_layers(self) -> dict[str, str]:
        """Return {layer: types} as the engine tells them; layers that were fused have one name."""
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self._loaded.trt.LayerInformationFormat.JSON)
        return read_inspector(text)

    def close(self) -> None:
        """Free all memory; the session cannot run afterwards."""
        if self._closed:
            return
        self._closed = True
        try:
            self._keep_kernels()
        finally:
            for lane in self._lanes:
                lane.resources.close()
            self._lanes.clear()
            self._settings = self._kernels = self._engine = self._runtime = None

    def _deserialise(self, engine: Engine) -> Any:
        trt = self._loaded.trt
        self._loaded.errors.clear()
        try:
            runtime = self._runtime = trt.Runtime(self._loaded.logger)  # must outlive the engine
        except (TypeError, RuntimeError) as err:  # pybind11: nothing was made
            raise self._fail("cannot start") from err
        if engine.sidecar.key.settings.version_compatible:
            runtime.engine_host_code_allowed = True
        dla = engine.sidecar.key.settings.dla
        if dla is not None:
            runtime.DLA_core = dla
        made = runtime.deserialize_cuda_engine(engine.data)
        if made is None:
            raise self._fail(f"does not load {engine.path.name}", "genx build BUNDLE --again")
        return made

    def _check_tensors(self) -> None:
        """Raise unless the engine's inputs and outputs are the component's."""
        trt, engine = self._loaded.trt, self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        specs = {spec.name: spec for spec in (*self.inputs, *self.outputs)}
        if sorted(names) != sorted(specs):
            raise BackendError(
                f"the engine has the tensors {sorted(names)}, component "
                f"{self._component.name!r} has {sorted(specs)}",
                fix="genx build BUNDLE --again",
            )
        for name, spec in specs.items():
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            shape = tuple(engine.get_tensor_shape(name))
            if dtype != np.dtype(spec.dtype) or shape[1:] != spec.shape[1:]:
                raise BackendError(
                    f"the engine's tensor {name!r} is {dtype.name}{shape}, the manifest says "
                    f"{spec.dtype}{tuple(spec.shape)}",
                    fix="genx build BUNDLE --again",
                )

    def _configure(self) -> Any:
        """Return TensorRT-RTX's settings for contexts; None for TensorRT."""
        if not self._loaded.flavour.compiles_ahead:
            return None
        from genx_runtimes.engines.rtx import make_runtime_config

        path = self._kernels_path
        self._kept = path.read_bytes() if path is not None and path.exists() else b""
        settings, self._kernels = make_runtime_config(
            self._loaded.trt, self._engine, self._kept, graphs=self._graphs
        )
        return settings

    def _keep_kernels(self) -> None:
        if self._kernels is None or self._kernels_path is None or not self._lanes:
            return
        data = bytes(self._kernels.serialize() or b"")
        if not data or data == self._kept:
            return
        try:
            with write_whole(self._kernels_path) as file:
                file.write(data)
        except OutputError as err:  # they are compiled again next time
            LOG.warning("compiled kernels are not kept: %s", err)

    def _submit(self, feeds: Mapping[str, Array]) -> _Lane:
        """Start a call on a lane that is free."""
        if self._closed:
            raise BackendError("the session is closed")
        batch = check_feeds(self._component, feeds)
        if not self._batch.min <= batch <= self._batch.max:
            sizes = f"{self._batch.min} to {self._batch.max}"
            raise InputError(
                f"batch is {batch}, the engine was built for {sizes}",
                fix="--batch within that, or genx build BUNDLE --batch MIN:OPT:MAX",
            )
        lane = self._find_lane(batch)
        for name, buffer in lane.inputs.items():
            np.copyto(buffer.array, feeds[name], casting="no")
        lane.busy = True
        try:
            if lane.graph is not None:
                self._cuda.launch(lane.graph, lane.stream)
            else:
                self._enqueue(lane)
        except BackendError:
            lane.busy = False
            raise
        return lane

    def _collect(self, lane: _Lane) -> dict[str, Array]:
        """Wait for a lane, and copy its outputs: the next call writes over them."""
        if self._closed:
            raise BackendError("the session is closed")
        lane.busy = False
        self._cuda.wait(lane.stream)
        return {name: buffer.array.copy() for name, buffer in lane.outputs.items()}

    def _find_lane(self, batch: int) -> _Lane:
        """Return a free lane for a batch size: one that is there, or a new one for the oldest."""
        idle = [lane for lane in self._lanes if not lane.busy]
        for lane in idle:
            if lane.batch == batch:
                return lane
        if len(self._lanes) >= _KEPT and idle:
            self._lanes.remove(idle[0])
            idle[0].resources.close()
        lane = self._open_lane(batch)
        self._lanes.append(lane)
        return lane

    def _open_lane(self, batch: int) -> _Lane:
        """Allocate all that calls at one batch size take, and record them as a CUDA graph."""
        self._loaded.errors.clear()
        with ExitStack() as stack:
            context = self._create_context()
            stream = self._cuda.create_stream()
            stack.callback(self._cuda.destroy_stream, stream)
            inputs, outputs = (
                {spec.name: self._allocate(stack, spec, batch) for spec in specs}
                for specs in (self.inputs, self.outputs)
            )
            stack.callback(self._settle, stream)  # before memory goes, work on it is over
            for name, buffer in inputs.items():
                if not context.set_input_shape(name, buffer.array.shape):
                    raise self._fail(f"refuses the shape {buffer.array.shape} of {name!r}")
            for name, buffer in {**inputs, **outputs}.items():
                if not context.set_tensor_address(name, buffer.device):
                    raise self._fail(f"refuses the memory of {name!r}")
            try:
                missing = context.infer_shapes()
            except RuntimeError as err:
                raise self._fail("cannot infer shapes") from err
            if missing:
                raise self._fail(f"needs the shapes of {', '.join(missing)}")
            lane = _Lane(batch, context, stream, inputs, outputs)
            if self._graphs and not self._loaded.flavour.compiles_ahead:
                lane.graph = self._record(stack, lane)
            lane.resources = stack.pop_all()
        return lane

    def _settle(self, stream: int) -> None:
        with suppress(BackendError):  # a lost device was told by the call that lost it
            self._cuda.wait(stream)

    def _create_context(self) -> Any:
        engine, settings = self._engine, self._settings
        context = (
            engine.create_execution_context()
            if settings is None
            else engine.create_execution_context(settings)
        )
        if context is None:
            raise self._fail("has no memory for another batch size", "take a smaller --batch")
        return context

    def _allocate(self, stack: ExitStack, spec: TensorSpec, batch: int) -> _Buffer:
        cuda = self._cuda
        shape = (batch, *(int(size) for size in spec.shape[1:]))
        size = int(np.prod(shape)) * np.dtype(spec.dtype).itemsize
        host = cuda.allocate_host(size, mapped=self._shared)
        stack.callback(cuda.free_host, host)
        if self._shared:  # CPU and GPU share their memory: nothing to copy
            device = cuda.device_address(host)
        else:
            device = cuda.allocate(size)
            stack.callback(cuda.free, device)
        array = view_host(host, shape, spec.dtype)
        array[...] = 0  # the first call, before any feeds, must not read indices from anywhere
        return _Buffer(array, host, device, size)

    def _record(self, stack: ExitStack, lane: _Lane) -> object | None:
        """Return the work of a call as a CUDA graph; None where the engine cannot be recorded."""
        self._enqueue(lane)  # TensorRT sets itself up in the first call
        self._cuda.wait(lane.stream)
        try:
            graph = self._cuda.record(lane.stream, lambda: self._enqueue(lane))
        except BackendError as err:
            LOG.info("runs without a CUDA graph: %s", err.message)
            return None
        stack.callback(self._cuda.destroy_graph, graph)
        return graph

    def _enqueue(self, lane: _Lane) -> None:
        """Start copying in, computing, copying out."""
        if not self._shared:
            for buffer in lane.inputs.values():
                self._cuda.copy_to_device(buffer.device, buffer.host, buffer.size, lane.stream)
        if not lane.context.execute_async_v3(lane.stream):
            raise self._fail("failed")
        if not self._shared:
            for buffer in lane.outputs.values():
                self._cuda.copy_to_host(buffer.host, buffer.device, buffer.size, lane.stream)

    def _fail(self, what: str, fix: str = "") -> BackendError:
        loaded = self._loaded
        return BackendError(
            f"{loaded.flavour.name} {loaded.version} {what} in component "
            f"{self._component.name!r}: {loaded.last_error()}",
            fix=fix,
        )
