"""Inputs that no node of a graph reads: valid ONNX, which engines treat each in its own way."""

from __future__ import annotations

import numpy as np
import pytest
from tests.make_tiny_bundle import make_graph

from genx_runtimes.backends import BACKENDS, open_session
from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import SessionOptions

NAMES = [b.name for b in BACKENDS if b.is_installed() and not b.needs_gpu]
# What a recurrent step of a text model does with its position.
STEP = """g (float[batch,3] x, int64[batch] position) => (float[batch,5] y) {
    y = Gemm(x, w, b)
}"""
COMPONENT = ComponentSpec(
    name="step",
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=("batch", 3), role="loop"),
        TensorSpec(name="position", dtype="int64", shape=("batch",), role="loop"),
    ),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 5), role="output"),),
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [None, 4])
def test_they_may_be_fed(name: str, batch: int | None) -> None:
    graph = make_graph(STEP, w=(3, 5), b=(5,))
    options = SessionOptions(batch=batch)
    with open_session(graph, COMPONENT, backend=name, options=options) as session:
        for size in (4, 2):
            feeds = {"x": np.ones((size, 3), np.float32), "position": np.arange(size)}
            assert session.run(feeds)["y"].shape == (size, 5)
