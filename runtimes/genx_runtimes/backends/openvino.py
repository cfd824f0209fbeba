"""The OpenVINO backend: Intel's and AMD's x86 CPUs, and Arm's, from the same ONNX graphs.

Source: OpenVINO's Python API, `Core`, `CompiledModel` and `InferRequest`; its CPU plugin's
properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import openvino as ov

from genx_runtimes.backends.openvino_profile import read_profile
from genx_runtimes.cache import cache_folder
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import (
    Array,
    Closing,
    NodeTime,
    SessionOptions,
    add_times,
    check_feeds,
)
from genx_runtimes.signal_stack import keep_signal_stack

_DEVICE = "CPU"


class _Request(NamedTuple):
    """A compiled graph's request, the inputs that it has kept, and its outputs in our order.

    Where all shapes are fixed, `bound` holds the arrays that it reads and writes, by their names:
    filling those takes 10 us a call less than handing over others.
    """

    infer: ov.InferRequest
    inputs: tuple[str, ...]
    outputs: list[ov.ConstOutput]
    bound: tuple[dict[str, Array], dict[str, Array]] | None


class OpenVinoSession(Closing):
    """A graph in OpenVINO.

    Floats are computed in float32: without being told, the plugin takes bfloat16 where the CPU has
    it.
    """

    def __init__(self, model: bytes, component: ComponentSpec, options: SessionOptions) -> None:
        self._component = component
        self._names = [spec.name for spec in component.outputs]
        if options.providers != SessionOptions().providers:
            raise InputError(
                f"providers {', '.join(options.providers)} are onnxruntime's, the backend is "
                f"openvino",
                fix="--backend onnxruntime",
            )
        self._settings: dict[str, object] = {
            "PERFORMANCE_HINT": options.mode.upper(),
            "INFERENCE_NUM_THREADS": options.threads or count_usable_cores(),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._profile: list[list[NodeTime]] | None = [] if options.profile else None
        if options.profile:
            self._settings["PERF_COUNT"] = True
        if options.cache:
            self._settings["CACHE_DIR"] = str(cache_folder("openvino"))
        self._model: bytes | None = model
        self._batch = options.batch
        self._requests: dict[int | None, _Request] = {}
        self._open(self._batch)

    def _open(self, batch: int | None) -> _Request:
        """Compile the graph for one batch size, or for all, unless that was done before."""
        if self._model is None:
            raise BackendError("the session is closed")
        if batch not in self._requests:
            try:
                core = ov.Core()
                graph = core.read_model(self._model)
                # OpenVINO drops inputs that no node reads, such as a recurrent step's position.
                kept = {name for port in graph.inputs for name in port.names}
                inputs = [spec for spec in self.inputs if spec.name in kept]
                if batch is not None:
                    graph.reshape({i.name: [batch, *i.shape[1:]] for i in inputs})
                with keep_signal_stack():
                    compiled = core.compile_model(graph, _DEVICE, self._settings)
                outputs = [compiled.output(name) for name in self._names]
                request = compiled.create_infer_request()
                self._requests[batch] = _Request(
                    infer=request,
                    inputs=tuple(spec.name for spec in inputs),
                    outputs=outputs,
                    bound=_bind(compiled, request),
                )
            except Exception as err:  # OpenVINO raises RuntimeError and others from C++
                raise BackendError(
                    f"openvino {ov.__version__} refuses component {self._component.name!r}: "
                    f"{_last(err)}",
                    fix="--backend onnxruntime, or pip install --upgrade openvino",
                ) from err
        return self._requests[batch]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The component's inputs."""
        return self._component.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The component's outputs."""
        return self._component.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, see `Session.run`; one call at a time."""
        batch = check_feeds(self._component, feeds)
        request = self._open(batch if batch == self._batch else None)
        try:
            # Outputs are copied, the next call writes over them.
            if request.bound is not None:
                read, written = request.bound
                for name in request.inputs:
                    np.copyto(read[name], feeds[name])
                request.infer.infer()
                results = {name: written[name].copy() for name in self._names}
            else:
                given = {name: feeds[name] for name in request.inputs}
                found = request.infer.infer(given, share_inputs=True, share_outputs=False)
                ports = zip(self._names, request.outputs, strict=True)
                results = {name: found[port] for name, port in ports}
        except Exception as err:
            raise BackendError(
                f"openvino failed in component {self._component.name!r}: {_last(err)}"
            ) from err
        if self._profile is not None:
            self._profile.append(read_profile(request.infer))
        return results

    def node_times(self, skip: int) -> tuple[NodeTime, ...]:
        """Return what each node took, see `read_node_times`."""
        if self._profile is None:
            raise BackendError("the session was opened without `profile`")
        return add_times(node for call in self._profile[skip:] for node in call)

    def close(self) -> None:
        """Free the graph."""
        self._model = None
        self._requests.clear()


def open_session(
    model: bytes, component: ComponentSpec, options: SessionOptions
) -> OpenVinoSession:
    """Load a graph into OpenVINO."""
    return OpenVinoSession(model, component, options)


def _bind(
    compiled: ov.CompiledModel, request: ov.InferRequest
) -> tuple[dict[str, Array], dict[str, Array]] | None:
    """Give a request arrays of ours for its inputs and outputs; None if a shape is not fixed."""
    if any(p.partial_shape.is_dynamic for p in (*compiled.inputs, *compiled.outputs)):
        return None
    read: dict[str, Array] = {}
    written: dict[str, Array] = {}
    for ports, arrays in ((compiled.inputs, read), (compiled.outputs, written)):
        for port in ports:
            array = np.zeros(tuple(port.shape), port.element_type.to_dtype())
            request.set_tensor(port, ov.Tensor(array, shared_memory=True))
            arrays.update(dict.fromkeys(port.names, array))
    return read, written


def _last(err: Exception) -> str:
    """Return the last line of OpenVINO's message; those before say where in its source."""
    lines = [line for line in str(err).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(err).__name__
