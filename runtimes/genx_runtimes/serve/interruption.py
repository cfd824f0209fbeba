"""Ending work that nobody waits for any more, between two calls of its engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from genx_runtimes.errors import GenxError
from genx_runtimes.session import Array, Session, WrappedSession


class DroppedError(GenxError):
    """Nobody waits for this work any more; it is told to no client."""


class InterruptibleSession(WrappedSession):
    """A session that asks before each run whether to go on: every loop calls it at every step.

    Args:
        session: that runs.
        check: what it raises ends the loop.
    """

    def __init__(self, session: Session, check: Callable[[], None]) -> None:
        super().__init__(session)
        self._check = check

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, if it is still wanted; see `Session.run`."""
        self._check()
        return super().run(feeds)
