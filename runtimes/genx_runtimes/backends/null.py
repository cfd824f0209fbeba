"""The null backend: checks what it is fed, returns zeros, and so leaves only genx to measure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from genx_runtimes.errors import BackendError
from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import Array, Closing, SessionOptions, check_feeds


class NullSession(Closing):
    """A session that computes nothing. `runs` counts the calls."""

    def __init__(self, component: ComponentSpec) -> None:
        self._component = component
        self.runs = 0
        self.closed = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The component's inputs."""
        return self._component.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The component's outputs."""
        return self._component.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return zeros of the outputs' shapes; dimensions with a symbol other than batch are 1."""
        if self.closed:
            raise BackendError("the session is closed")
        batch = check_feeds(self._component, feeds)
        self.runs += 1
        return {
            spec.name: np.zeros(
                (batch, *(d if isinstance(d, int) else 1 for d in spec.shape[1:])), spec.dtype
            )
            for spec in self.outputs
        }

    def close(self) -> None:
        """Close the session."""
        self.closed = True


def open_session(model: bytes, component: ComponentSpec, options: SessionOptions) -> NullSession:
    """Open a session that ignores the model."""
    del model, options
    return NullSession(component)
