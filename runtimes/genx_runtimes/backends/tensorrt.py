"""The tensorrt backend: engines compiled from a bundle's graphs, on NVIDIA GPUs."""

from __future__ import annotations

from genx_runtimes.engines.engine_session import EngineSession
from genx_runtimes.engines.open import open_engine
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import SessionOptions


def open_session(model: bytes, component: ComponentSpec, options: SessionOptions) -> EngineSession:
    """Load the engine of a graph, or build it."""
    return open_engine("tensorrt", model, component, options)
