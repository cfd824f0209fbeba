"""Ending work that nobody waits for any more, between two calls of its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from genx_runtimes.errors import GenxError
from genx_runtimes.session import Array, Session, WrappedSession, run_batches


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
        return super().run(self._pass(feeds))

    def run_batches(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
        """Run it on one batch after another, as long as they are wanted; see `run_batches`."""
        return run_batches(self._session, map(self._pass, batches))

    def _pass(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        self._check()
        return feeds
