"""A machine whose engines take as long as a test says, and whose clock they move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genx_runtimes.backends import find_backend
from genx_runtimes.bench import rounds as rounds_module
from genx_runtimes.bench.case import Case, Examination, Measurement
from genx_runtimes.bench.measure import WarmUp
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.child import Outcome
from genx_runtimes.tuning import candidates, engines, screen

Way = tuple[str, str, int, int, int]


def name_way(case: Case) -> Way:
    """Engine, variant, threads, instances and batch size of a case."""
    return case.backend, case.precision or "", case.threads, case.instances, case.batch


@dataclass
class TuningMachine:
    """Answers in place of worker processes.

    Args:
        takes_ms: of a call, from the way and how often it was measured before.
        fails: why the way gives no answer; empty: it does.
        wrong: why it does not draw the golden samples; empty: it does.
        process_s: what a process takes on the clock.
        peak_mb: the largest resident set, from the way.
    """

    takes_ms: Callable[[Way, int], float] = lambda way, turn: 1.0
    fails: Callable[[Way], str] = lambda way: ""
    wrong: Callable[[Way], str] = lambda way: ""
    peak_mb: Callable[[Way], int] = lambda way: 80
    process_s: float = 0.5
    now_s: float = 0.0
    interrupt_at: int | None = None
    asked: list[Case] = field(default_factory=list)
    seen: Counter[Way] = field(default_factory=Counter)

    def clock(self) -> float:
        return self.now_s

    def run_child(self, command: object, *, data: bytes, timeout_s: float) -> Outcome:
        if len(self.asked) == self.interrupt_at:
            raise KeyboardInterrupt
        case = msgspec.json.decode(data, type=Case)
        self.asked.append(case)
        way = name_way(case)
        if self.process_s > timeout_s:
            self.now_s += timeout_s
            return Outcome(output=b"", failure=f"gave no answer within {timeout_s:g} s")
        self.now_s += self.process_s
        if self.fails(way):
            return Outcome(output=b"", failure=self.fails(way))
        if case.examine:
            return Outcome(output=msgspec.json.encode(Examination()), failure=self.wrong(way))
        call_ns = int(self.takes_ms(way, self.seen[way]) * 1e6)
        self.seen[way] += 1
        made = Measurement(
            warm_up=WarmUp(calls=3, stable=True, spread=0.0, call_ns=call_ns),
            latencies_ns=[call_ns] * 5,
            samples=case.batch * case.instances,
            wall_ns=call_ns,
            versions={"fake": "1"},
            peak_bytes=self.peak_mb(way) * 10**6,
        )
        return Outcome(output=msgspec.json.encode(made))

    @property
    def tried(self) -> set[Way]:
        """Every way that was timed."""
        return set(self.seen)


def make_machine(monkeypatch: pytest.MonkeyPatch, cache: Path) -> TuningMachine:
    """Return one with two cores, onnxruntime and OpenVINO, and a cache of its own."""
    made = TuningMachine()
    monkeypatch.setenv("GENX_CACHE_DIR", str(cache))
    monkeypatch.setattr(rounds_module, "run_child", made.run_child)
    found = [find_backend(name) for name in ("onnxruntime", "openvino")]
    for module in (candidates, engines, screen):
        monkeypatch.setattr(module, "list_engines", lambda: found)
        monkeypatch.setattr(module, "count_usable_cores", lambda: 2)
    return made


def with_variants(path: Path, *names: str, **quality: dict[str, float]) -> Bundle:
    """Open a bundle whose first variant goes by several names, with the quality of each."""
    bundle = open_bundle(path)
    (first, *_) = bundle.manifest.variants
    variants = tuple(
        msgspec.structs.replace(
            first, name=name, precision=name[:4], quality=quality.get(name, {"psnr_db": 45.0})
        )
        for name in names
    )
    manifest: Any = msgspec.structs.replace(bundle.manifest, variants=variants)
    made = Bundle.__new__(Bundle)
    made.__dict__.update(bundle.__dict__, manifest=manifest)
    return made
