"""Whether an engine really runs a graph here, found out in a process of its own.

python -m genx_runtimes.probe onnxruntime:cuda
python -m genx_runtimes.probe onnxruntime CUDAExecutionProvider
"""

from __future__ import annotations

import os
import sys

import msgspec
import numpy as np

from genx_runtimes.backends import find_backend, open_session
from genx_runtimes.child import one_line
from genx_runtimes.errors import BackendError
from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import SessionOptions

# y = Identity(x), float32 (batch, 4), IR version 8 and opset 17 so that old engines read it.
# tests/export/test_probe_graph.py makes it with onnx and compares.
IDENTITY = bytes.fromhex(
    "0808120467656e783a500a100a017812017922084964656e7469747912086964656e746974795a180a0178"
    "12130a110801120d0a07120562617463680a02080462180a017912130a110801120d0a0712056261746368"
    "0a02080442040a001011"
)
_COMPONENT = ComponentSpec(
    name="identity",
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4), role="data"),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 4), role="output"),),
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe answers on stdout: the engine's version and onnxruntime's providers."""

    version: str
    providers: tuple[str, ...]


def run_identity(backend: str, provider: str = "") -> None:
    """Run the graph once and compare.

    Raises:
        BackendError: the engine is missing, refuses, fails, or computes something else.
    """
    options = SessionOptions(providers=(provider,)) if provider else SessionOptions()
    x = np.array([[0.0, 1.0, -2.5, 1e-3]], dtype=np.float32)
    with open_session(IDENTITY, _COMPONENT, backend=backend, options=options) as session:
        y = session.run({"x": x})["y"]
    if not np.array_equal(x, y):
        raise BackendError(f"{backend} returns {y.tolist()} for Identity of {x.tolist()}")


def find_engine(backend: str) -> Finding:
    """Return the version of an engine that has been loaded, and its providers if it has any."""
    found = find_backend(backend)
    engine = sys.modules.get(found.requires)
    providers: tuple[str, ...] = ()
    if found.name == "onnxruntime":
        from genx_runtimes.backends.onnxruntime import list_providers

        providers = list_providers()
    return Finding(version=str(getattr(engine, "__version__", "")), providers=providers)


def _main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # what an engine prints must not mix with the answer
    try:
        run_identity(*sys.argv[1:3])
        finding = find_engine(sys.argv[1])
    except Exception as err:  # an engine may raise anything; the parent shows this line
        sys.exit(one_line(err))
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(finding))


if __name__ == "__main__":
    _main()
