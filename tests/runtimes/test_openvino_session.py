"""What binding a request's arrays could get wrong: names that share a tensor, calls in a row."""

from __future__ import annotations

import numpy as np
import pytest

from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import Session, SessionOptions

onnx = pytest.importorskip("onnx")
pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def session() -> Session:
    """A graph of y = x and s = t = x + u, and w is read by nothing; compiled for a batch of 2."""
    from genx_runtimes.backends.openvino import open_session

    def tensors(names: str) -> list[object]:
        make = onnx.helper.make_tensor_value_info
        return [make(name, onnx.TensorProto.FLOAT, ["batch", 3]) for name in names]

    def specs(names: str) -> tuple[TensorSpec, ...]:
        shape = ("batch", 3)
        return tuple(
            TensorSpec(name=name, dtype="float32", shape=shape, role="image") for name in names
        )

    node = onnx.helper.make_node
    nodes = [
        node("Identity", ["x"], ["y"]),
        node("Add", ["x", "u"], ["s"]),
        node("Identity", ["s"], ["t"]),
    ]
    graph = onnx.helper.make_graph(nodes, "graph", tensors("xuw"), tensors("yst"))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    model.ir_version = 9
    component = ComponentSpec(name="c", inputs=specs("xuw"), outputs=specs("yst"))
    return open_session(model.SerializeToString(), component, SessionOptions(batch=2))


def draw(batch: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.standard_normal((batch, 3), dtype=np.float32) for name in "xuw"}


@pytest.mark.parametrize("batch", [2, 3])  # arrays of its own, and those of the caller
def test_outputs_are_those_of_their_call(session: Session, batch: int) -> None:
    feeds = [draw(batch, seed) for seed in range(3)]
    answers = [session.run(fed) for fed in feeds]
    for fed, answer in zip(feeds, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], fed["x"])
        np.testing.assert_allclose(answer["s"], fed["x"] + fed["u"], rtol=1e-6)
        np.testing.assert_array_equal(answer["t"], answer["s"])


def test_feeds_that_are_not_contiguous_are_read_in_order(session: Session) -> None:
    fed = {name: array[::-1] for name, array in draw(2, 0).items()}
    np.testing.assert_array_equal(session.run(fed)["y"], fed["x"])
