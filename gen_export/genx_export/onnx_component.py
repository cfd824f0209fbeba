"""Components that are ONNX files already."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
import onnxruntime as ort

from genx_export.model import OPSET
from genx_export.randomness import refuse_random_nodes
from genx_export.torch_component import check_shape
from genx_runtimes.errors import SourceError, TraceError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import Array

MIN_OPSET = 9


class OnnxComponent:
    """A graph from a file; its reference is onnxruntime on the file as it is, unoptimised.

    Args:
        name: the component's name.
        model: the graph, weights included.
    """

    def __init__(self, name: str, model: ir.Model) -> None:
        self.name = name
        self._model = model
        self._session: ort.InferenceSession | None = None

    @property
    def parameters(self) -> Mapping[str, bool]:
        """The graph's inputs, all required."""
        initializers = self._model.graph.initializers
        return {str(i.name): True for i in self._model.graph.inputs if i.name not in initializers}

    @property
    def bounds(self) -> BatchBounds | None:
        """A fixed batch size in the file, where there is one."""
        sizes = [value.shape[0] for value in self._model.graph.inputs if value.shape]
        fixed = [size for size in sizes if isinstance(size, int)]
        return BatchBounds(min=fixed[0], max=fixed[0]) if fixed else None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the original graph without graph optimisations."""
        for value in self._model.graph.inputs:
            name = str(value.name)
            if name in feeds and value.shape is not None:
                shape = [size if isinstance(size, int) else None for size in value.shape.dims]
                check_shape(self.name, name, feeds[name].shape, shape)
        names = [str(output.name) for output in self._model.graph.outputs]
        try:
            if self._session is None:
                settings = ort.SessionOptions()
                settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
                settings.log_severity_level = 3
                self._session = ort.InferenceSession(
                    ir.to_proto(self._model).SerializeToString(),
                    settings,
                    providers=["CPUExecutionProvider"],
                )
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as err:  # onnxruntime's errors share no base but Exception
            raise SourceError(
                f"onnxruntime cannot run component {self.name!r}: {str(err).partition(chr(10))[0]}",
                fix="check the file with: python -m onnx.checker FILE; and the --prior shapes",
            ) from err

    def translate(self, feeds: Mapping[str, Array], batch: BatchBounds) -> ir.Model:
        """Return the graph, checked."""
        del feeds, batch
        opset = self._model.opset_imports.get("", 0)
        if not MIN_OPSET <= opset <= OPSET:
            raise TraceError(
                f"the file has opset {opset}, expected {MIN_OPSET} to {OPSET}, which all engines "
                f"read",
                fix=f"export it with opset_version={OPSET}",
            )
        refuse_random_nodes(self.name, self._model)
        return self._model
