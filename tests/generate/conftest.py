"""Data sets of the tiny bundles. Most tests make shards in this process, some in real workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from genx_runtimes import open_bundle
from genx_runtimes.generate import (
    Failure,
    Plan,
    RunOptions,
    Shard,
    ShardMaker,
    make_plan,
)
from genx_runtimes.generate.runners import Outcomes

DATA = Path(__file__).parents[1] / "data"
TINY = DATA / "tiny.genx"
SETTINGS: dict[str, object] = {"n": 100, "seed": 3, "shard_size": 16}

MakePlan = Callable[..., Plan]


@pytest.fixture
def plan(tmp_path: Path) -> MakePlan:
    """Make a plan of the tiny bundle: seven shards, six of 16 samples and one of 4."""

    def make(bundle: Path = TINY, folder: str = "out", **settings: object) -> Plan:
        return make_plan(open_bundle(bundle), tmp_path / folder, **{**SETTINGS, **settings})

    return make


def run_here(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
    """Make shards in this process, the last one first."""
    with ShardMaker(plan) as maker:
        for index in reversed(indices):
            yield maker.attempt(index)


def read_tree(folder: Path | str) -> dict[str, bytes]:
    """Return all files of a data set by their path; the lock, which holds nothing, is left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


class Watched:
    """Keeps what it is told, and may do something at each finished shard."""

    def __init__(self, act: Callable[[Shard], None] = lambda _: None) -> None:
        self._act = act
        self.kept: list[int] = []
        self.made_shards: list[int] = []
        self.failures: list[tuple[int, int]] = []
        self.reasons: list[str] = []

    def checked(self, done: int, total: int) -> None:
        assert 1 <= done <= total

    def begun(self, kept: Sequence[Shard], missing: int) -> None:
        self.kept = [shard.index for shard in kept]

    def made(self, shard: Shard) -> None:
        self.made_shards.append(shard.index)
        self._act(shard)

    def failed(self, index: int, failure: Failure, attempt: int) -> None:
        self.failures.append((index, attempt))
        self.reasons.append(failure.message)
