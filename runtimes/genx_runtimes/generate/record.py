"""What is told of shards, and `dataset.json`.

Source: docs/generate.md, which this file follows.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from genx_runtimes import errors
from genx_runtimes.child import one_line
from genx_runtimes.errors import BackendError, GenxError
from genx_runtimes.generate.plan import Settings


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """A finished shard.

    Args:
        index: of the shard.
        path: in the data set, with `/`.
        start: index of its first sample.
        count: samples.
        bytes: of all its files.
        sha256: of the file; of a folder see `publishing.measure`.
    """

    index: int
    path: str
    start: int
    count: int
    bytes: int
    sha256: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a shard was not made: an error's class, message and fix."""

    kind: str
    message: str
    fix: str = ""

    @classmethod
    def of(cls, err: BaseException) -> Failure:
        """Return what is told of an error; of one that genx did not foresee, in one line."""
        if isinstance(err, GenxError):
            return cls(kind=type(err).__name__, message=err.message, fix=err.fix)
        return cls(kind=BackendError.__name__, message=one_line(err))

    def error(self) -> GenxError:
        """Return the error."""
        made: GenxError = getattr(errors, self.kind)(self.message, fix=self.fix)
        return made


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt at a shard: the shard, or why there is none."""

    index: int
    shard: Shard | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that was given up."""

    index: int
    start: int
    count: int
    reason: str


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """All of dataset.json.

    Args:
        name: of the bundle.
        complete: whether all shards are there.
        settings: what determines the bytes.
        shards: that are finished, by index.
        failed: that were given up in the last run, by index.
    """

    format: Literal["genx-dataset"] = "genx-dataset"
    format_version: Literal[1] = 1
    name: str
    complete: bool = False
    settings: Settings
    shards: tuple[Shard, ...] = ()
    failed: tuple[Skipped, ...] = ()
