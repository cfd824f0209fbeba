"""What values the activations of a graph take."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import Array

# Values kept of each activation, for estimators that look at the distribution.
_KEPT = 2**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """The values that one tensor took.

    Args:
        low: the smallest.
        high: the largest.
        values: some of them, evenly taken, (n,) float32.
    """

    low: float
    high: float
    values: NDArray[np.float32]


def observe_activations(
    model: bytes, feeds: Mapping[str, Array], bounds: BatchBounds
) -> dict[str, Activation]:
    """Run a graph on (N, ...) inputs and watch every float32 tensor in it, inputs included.

    The smallest batch is used, so that the activations of a large model fit into memory.
    """
    session, names = _open_watched(model)
    count = len(next(iter(feeds.values())))
    share = max(1, _KEPT * bounds.min // count)
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    values: dict[str, list[NDArray[np.float32]]] = {}
    for first in range(0, count, bounds.min):
        part = {name: array[first : first + bounds.min] for name, array in feeds.items()}
        seen = dict(zip(names, session.run(names, part), strict=True)) | part
        for name, array in seen.items():
            if array.dtype != np.float32 or not array.size:
                continue
            low[name] = min(low.get(name, np.inf), float(array.min()))
            high[name] = max(high.get(name, -np.inf), float(array.max()))
            # An odd step does not fall into step with channels and rows.
            step = max(1, array.size // share) | 1
            values.setdefault(name, []).append(array.reshape(-1)[::step].copy())
    return {
        name: Activation(low=low[name], high=high[name], values=np.concatenate(parts))
        for name, parts in values.items()
    }


def _open_watched(model: bytes) -> tuple[ort.InferenceSession, list[str]]:
    """Open a graph with every tensor of its nodes as an output."""
    proto = onnx.load_from_string(model)
    present = {output.name for output in proto.graph.output}
    for node in proto.graph.node:
        for name in node.output:
            if name and name not in present:
                proto.graph.output.append(onnx.ValueInfoProto(name=name))
                present.add(name)
    names = [output.name for output in proto.graph.output]
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.add_session_config_entry("session.disable_prepacking", "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        onnx.save(proto, path)
        del proto  # each copy of a large model counts
        session = ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return session, names
