"""The onnxruntime backend: the CPU, and the devices in `onnxruntime_devices.py`.

Source: onnxruntime's Python API, `InferenceSession` and `SessionOptions`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from genx_runtimes.backends.onnxruntime_devices import CPU, choose_devices, list_plugins
from genx_runtimes.backends.onnxruntime_loading import first_line, load_graph
from genx_runtimes.backends.onnxruntime_profile import read_profile
from genx_runtimes.backends.onnxruntime_settings import Graph
from genx_runtimes.errors import BackendError
from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import Array, Closing, NodeTime, SessionOptions, check_feeds


class OnnxRuntimeSession(Closing):
    """A graph in onnxruntime."""

    def __init__(self, model: bytes, component: ComponentSpec, options: SessionOptions) -> None:
        self._component = component
        self._names = [spec.name for spec in component.outputs]
        self._profiles = tempfile.TemporaryDirectory(prefix="genx-") if options.profile else None
        self._graph: Graph | None = Graph(
            model=model,
            component=component,
            options=options,
            version=ort.__version__,
            profile="" if self._profiles is None else str(Path(self._profiles.name) / "nodes"),
        )
        device = choose_devices(options)[0]
        self._provider, self._is_fixed = device.provider, device.fixed_batch
        self._closed = False
        self._sessions: dict[int | None, ort.InferenceSession] = {}
        bounds = None if options.origin is None else options.origin.bounds
        self._open(options.batch or (1 if bounds is None else bounds.min))

    def _open(self, batch: int) -> ort.InferenceSession:
        """Load the graph, for this batch size alone where the device needs that."""
        if self._closed:
            raise BackendError("the session is closed")
        key = batch if self._is_fixed else None
        if key not in self._sessions:
            assert self._graph is not None
            self._sessions[key] = load_graph(self._graph, key)
            if not self._is_fixed:  # the file is not needed again
                self._graph = None
        return self._sessions[key]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The component's inputs."""
        return self._component.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The component's outputs."""
        return self._component.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, see `Session.run`."""
        session = self._open(check_feeds(self._component, feeds))
        try:
            results = session.run(self._names, feeds)
        except Exception as err:
            raise BackendError(
                f"onnxruntime failed in component {self._component.name!r}: {first_line(err)}"
            ) from err
        return dict(zip(self._names, results, strict=True))

    def graph_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Return the shape of each input and output in the file; None where a size is open."""
        session = self._open(1)
        ports = (*session.get_inputs(), *session.get_outputs())
        return {p.name: tuple(n if isinstance(n, int) else None for n in p.shape) for p in ports}

    def node_times(self, skip: int) -> tuple[NodeTime, ...]:
        """Return what each node took, see `read_node_times`."""
        if self._profiles is None:
            raise BackendError("the session was opened without `profile`")
        if self._provider != CPU:
            raise BackendError(f"onnxruntime times what {self._provider} starts, not how it runs")
        (session,) = self._sessions.values()
        return read_profile(Path(session.end_profiling()).read_bytes(), skip)

    def close(self) -> None:
        """Free the graph."""
        self._closed = True
        self._graph = None
        self._sessions.clear()
        if self._profiles is not None:
            self._profiles.cleanup()


def open_session(
    model: bytes, component: ComponentSpec, options: SessionOptions
) -> OnnxRuntimeSession:
    """Load a graph into onnxruntime."""
    return OnnxRuntimeSession(model, component, options)


def list_providers() -> tuple[str, ...]:
    """Return the providers that the installed onnxruntime was built with, and installed plugins."""
    return tuple(dict.fromkeys((*ort.get_available_providers(), *list_plugins())))
