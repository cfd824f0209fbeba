"""Ending work that nobody waits for any more, between two calls of its engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from genx_runtimes.errors import GenxError
from genx_runtimes.manifest import TensorSpec
from genx_runtimes.session import Array, Closing, Session


class DroppedError(GenxError):
    """Nobody waits for this work any more; it is told to no client."""


class InterruptibleSession(Closing):
    """A session that asks before each run whether to go on: every loop calls it at every step.

    Args:
        session: that runs.
        check: what it raises ends the loop.
    """

    def __init__(self, session: Session, check: Callable[[], None]) -> None:
        self._session, self._check = session, check

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        return self._session.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, if it is still wanted; see `Session.run`."""
        self._check()
        return self._session.run(feeds)

    def close(self) -> None:
        """Free what the engine holds."""
        self._session.close()

    def __getattr__(self, name: str) -> object:
        """Return what only some engines have, such as their bounds."""
        return getattr(self._session, name)
