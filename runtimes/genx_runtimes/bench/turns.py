"""Contenders that are alive at the same time, of which one works: they take turns of some 25 ms.

A machine that others share changes its speed by half within seconds, and engines change theirs by
different factors; turns that are shorter than that are hit alike. Who is not on is stopped: threads
of an engine spin on after a call, onnxruntime's for some 60 ms. `worker` is the other side.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from genx_runtimes.bench.case import Case, Ready, Slice
from genx_runtimes.bench.conditions import compare, look
from genx_runtimes.bench.figures import Conditions
from genx_runtimes.child import Child, Outcome, read_answer

SLICE_S = 0.025
# So that the first one, which is not timed, takes a fifth of a turn at most.
_CALLS = 5
_PATIENCE = 3  # as `bench.measure` has it


def run_in_turns(
    asked: Sequence[tuple[str, Case]], *, grace_s: float
) -> tuple[list[Outcome], Conditions]:
    """Time cases of the same duration, each in its own process, all in turn.

    They are loaded and warmed up one after another. One that fails takes no more turns.

    Args:
        asked: the module that answers each case.
        grace_s: seconds that a worker may take beyond warm-up and timing, loading included.

    Returns:
        of each its `Measurement` as JSON, or why there is none; and the conditions of them all,
        since a worker takes the others for other programs. Where one failed meanwhile, what it
        took is not known, and so is not what other programs did.
    """
    players = [_Player(module, case) for module, case in asked]
    try:
        for player in players:
            player.load(grace_s)
        slowest_s = max((p.call_s for p in players if p.is_in), default=0.0)
        first = asked[0][1]
        count, turn = plan_turns(first.seconds, first.min_count, slowest_s)
        playing = [player.is_in for player in players]
        before, began = look(), time.monotonic_ns()
        own_s = -sum(player.cpu_s for player in players)
        for place in range(count):
            for player in players[::-1] if place % 2 else players:
                player.take(turn, grace_s)
        own_s += sum(player.cpu_s for player in players)
        after = look()
        conditions = compare(
            before,
            replace(after, own_s=after.own_s + own_s),
            wall_ns=time.monotonic_ns() - began,
            threads=1,
        )
        if playing != [player.is_in for player in players]:
            conditions = msgspec.structs.replace(conditions, others=None, stolen=None)
        return [player.finish(grace_s) for player in players], conditions
    finally:
        for player in players:
            player.end()


def plan_turns(seconds: float, min_count: int, call_s: float) -> tuple[int, Slice]:
    """Return how many turns a contender takes, and what each of them is.

    Args:
        seconds: of all turns together.
        min_count: calls of all turns together.
        call_s: what a call of the slowest contender takes.
    """
    count = max(1, int(seconds / max(SLICE_S, _CALLS * call_s) + 1e-9))
    return count, Slice(seconds=seconds / count, min_count=-(-min_count // count))


class _Player:
    """A contender's process; once it has failed, nothing is asked of it any more."""

    def __init__(self, module: str, case: Case) -> None:
        self._module = module
        self._case = case
        self._child: Child | None = None
        self._failure = ""
        self.call_s = 0.0
        self.cpu_s = 0.0

    @property
    def is_in(self) -> bool:
        return not self._failure

    def load(self, grace_s: float) -> None:
        """Start it, and wait until it is warm."""
        case = replace(self._case, in_turn=True, spawned_ns=time.monotonic_ns())
        try:
            self._child = Child((sys.executable, "-m", self._module))
        except OSError as err:
            self._failure = f"cannot be started: {err.strerror or err}"
            return
        self._ask(case, case.warm_up_s + grace_s)

    def take(self, turn: Slice, grace_s: float) -> None:
        """Let it work for a turn."""
        if self.is_in:
            self._ask(turn, _PATIENCE * turn.seconds + grace_s)

    def finish(self, grace_s: float) -> Outcome:
        """Return what it measured."""
        if self._failure or not self._child:
            return Outcome(output=b"", failure=self._failure)
        self._child.go_on()
        self._child.ask_no_more()
        return self._child.answer(grace_s)

    def end(self) -> None:
        """End the process, if there is one."""
        if self._child:
            self._child.end()

    def _ask(self, message: Case | Slice, timeout_s: float) -> None:
        assert self._child is not None
        self._child.go_on()
        self._child.ask(msgspec.json.encode(message))
        answered = self._child.answer(timeout_s)
        self._child.stop()
        ready = read_answer(answered, Ready, missing=f"{self._module} does not take turns")
        if isinstance(ready, str):
            self._failure = ready
        else:
            self.call_s, self.cpu_s = ready.call_ns / 1e9, ready.cpu_s
