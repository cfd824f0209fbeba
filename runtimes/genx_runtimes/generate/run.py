"""Making a data set: what is missing is handed to a runner, what fails is tried again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import (
    BackendError,
    BackendUnavailableError,
    BundleError,
    InputError,
    OutputError,
)
from genx_runtimes.generate.card import write_card
from genx_runtimes.generate.ledger import Ledger, open_ledger
from genx_runtimes.generate.local import run_local
from genx_runtimes.generate.plan import Plan
from genx_runtimes.generate.record import Dataset, Failure, Outcome, Shard
from genx_runtimes.generate.runners import Runner, RunOptions

ATTEMPTS = 3
_HOPELESS = 10
_SURE = 0.5  # of what the rest seems to need: it may come out smaller
# What would befall every other shard too.
_FATAL = (BundleError, InputError, OutputError, BackendUnavailableError)


class Watch(Protocol):
    """Who is told how it goes."""

    def checked(self, done: int, total: int) -> None:
        """So many of the shards of a former run have been read again."""
        ...

    def begun(self, kept: Sequence[Shard], missing: int) -> None:
        """So much is there already; so many shards are missing."""
        ...

    def made(self, shard: Shard) -> None:
        """A shard is finished."""
        ...

    def failed(self, index: int, failure: Failure, attempt: int) -> None:
        """An attempt at a shard failed: the first, second or third."""
        ...


class Unwatched:
    """Nobody is told."""

    def checked(self, done: int, total: int) -> None:
        """Tell nobody."""

    def begun(self, kept: Sequence[Shard], missing: int) -> None:
        """Tell nobody."""

    def made(self, shard: Shard) -> None:
        """Tell nobody."""

    def failed(self, index: int, failure: Failure, attempt: int) -> None:
        """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run came to.

    Args:
        dataset: as it is now.
        kept: shards that were there before.
        failed: what was given up: the last failure of each shard, by index.
        notes: what the engines had to tell.
    """

    dataset: Dataset
    kept: int
    failed: dict[int, Failure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All that are finished."""
        return self.dataset.shards


def generate(
    plan: Plan,
    *,
    runner: Runner = run_local,
    options: RunOptions | None = None,
    watch: Watch | None = None,
) -> Summary:
    """Make what is missing of a data set; what is there and whole stays.

    A shard that failed is tried again when all others have been tried; after the third time it is
    given up, which the summary tells.

    Args:
        plan: of the data set.
        runner: hands shards to those that make them.
        options: of the runner.
        watch: told how it goes.

    Raises:
        InputError: the folder holds something else, or a data set of other settings.
        OutputError: it cannot be written, or what is missing cannot fit there.
        BackendError: the engine is not there, or ten attempts failed and no shard was made.
    """
    told = watch or Unwatched()
    bundle = open_bundle(plan.bundle)
    with open_ledger(plan, bundle.manifest.name, check=told.checked) as ledger:
        missing = ledger.list_missing()
        told.begun(ledger.dataset.shards, len(missing))
        run = _Run(plan, ledger, told, kept=plan.count - len(missing))
        for attempt in range(1, ATTEMPTS + 1):
            if missing:
                with closing(runner(plan, missing, options or RunOptions())) as outcomes:
                    for outcome in outcomes:
                        run.take(outcome, attempt)
                run.miss(missing, attempt)
                missing = sorted(run.failed)
        ledger.save(run.failed.items())
        write_card(plan, bundle.manifest, ledger.dataset)
        return Summary(
            dataset=ledger.dataset,
            kept=run.kept,
            failed=dict(sorted(run.failed.items())),
            notes=tuple(dict.fromkeys(run.notes)),
        )


class _Run:
    """One call of `generate`."""

    def __init__(self, plan: Plan, ledger: Ledger, watch: Watch, *, kept: int) -> None:
        self._plan, self._ledger, self._watch = plan, ledger, watch
        self.kept = kept
        self.failed: dict[int, Failure] = {}
        self.notes: list[str] = []
        self._made = self._failures = 0

    def take(self, outcome: Outcome, attempt: int) -> None:
        """Note what became of an attempt at a shard."""
        self.notes += outcome.notes
        if outcome.shard is not None:
            self._ledger.add(outcome.shard)
            self.failed.pop(outcome.index, None)
            self._made += 1
            self._watch.made(outcome.shard)
            if self._made == 1:
                self._check_room(outcome.shard)
        elif outcome.failure is not None:
            self._fail(outcome.index, outcome.failure, attempt)

    def miss(self, asked: Sequence[int], attempt: int) -> None:
        """Note the shards of which the runner told nothing."""
        missing = set(self._ledger.list_missing())
        for index in asked:
            if index in missing and index not in self.failed:
                failure = Failure.of(BackendError(f"nothing was heard of shard {index}"))
                self._fail(index, failure, attempt)

    def _fail(self, index: int, failure: Failure, attempt: int) -> None:
        err = failure.error()
        if isinstance(err, _FATAL):
            raise err
        self.failed[index] = failure
        self._watch.failed(index, failure, attempt)
        self._failures += 1
        if self._failures >= _HOPELESS and not self._made:
            raise BackendError(
                f"{self._failures} attempts in a row failed, the last one: {failure.message}",
                fix=failure.fix,
            )

    def _check_room(self, shard: Shard) -> None:
        """Raise at once if the rest cannot fit, going by the first shard that was made."""
        left = sum(len(self._plan.span(index)) for index in self._ledger.list_missing())
        needed = shard.bytes / shard.count * left
        free = shutil.disk_usage(self._plan.folder).free
        if needed * _SURE > free:
            raise OutputError(
                f"{left} more samples need some {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are "
                f"free in {self._plan.folder}",
                fix="free some space and run it again, or choose another place with -o",
            )
