"""Contenders that take turns: one works at a time, and who fails is told and missed by nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from genx_runtimes.bench import BenchOptions, Contender, rounds, run_bench, turns
from genx_runtimes.bench.answering import Channel
from genx_runtimes.bench.case import Case, Examination, Measurement, Slice
from genx_runtimes.bench.conditions import Glimpse
from genx_runtimes.bench.energy import Meter, NvmlMeter, RailMeter, RaplMeter
from genx_runtimes.bench.figures import Conditions
from genx_runtimes.bench.measure import WarmUp
from genx_runtimes.bench.record import Scenario
from genx_runtimes.bench.rounds import split_group
from genx_runtimes.bench.tally import Tally
from genx_runtimes.bench.turns import SLICE_S, plan_turns, run_in_turns
from genx_runtimes.bench.worker import Prepared, measure_case
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import Outcome
from genx_runtimes.cpu import list_allowed_cpus
from genx_runtimes.system_files import read_text

# Notes when it calls; `source` of the case is the log.
NOTING = """
import os, signal, sys, time
from contextlib import contextmanager
from genx_runtimes.bench.worker import Prepared, serve

@contextmanager
def prepare(case):
    called = 0
    def draw(count):
        nonlocal called
        called += 1
        start = time.monotonic_ns()
        time.sleep(CALL_S)
        with open(case.source, "a") as log:
            log.write(f"NAME {start} {time.monotonic_ns()}\\n")
        FAILURE
    print("an engine that talks")
    yield Prepared(draw=draw, versions={"fake": "1"})

serve(prepare)
"""
OTHERS = {
    "chatty": ("print('hello', flush=True); input()", "does not take turns"),
    "short": ("import json, sys\njson.loads(sys.stdin.readline())", "said nothing"),
    "raises": ("raise OSError('no disk')", "OSError: no disk"),
    "hangs": ("import time\ntime.sleep(600)", "gave no answer within"),
}


def make_worker(name: str, failure: str = "pass", call_s: float = 0.001) -> str:
    """Return the text of one that fails, after some calls, as a line of Python says."""
    text = NOTING.replace("FAILURE", failure).replace("NAME", name)
    return text.replace("CALL_S", str(call_s))


def make_case(log: Path, seconds: float = 0.4) -> Case:
    return Case(
        bundle="",
        precision=None,
        backend="",
        source=str(log),
        batch=2,
        threads=1,
        seed=0,
        start=0,
        seconds=seconds,
        warm_up_s=0.005,
        min_count=1,
    )


@pytest.fixture
def exact_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every turn as short as can be, however slow this machine is."""
    monkeypatch.setattr(turns, "_CALLS", 0)


def read_log(log: Path) -> list[tuple[str, int, int]]:
    """Return who called from when to when, in nanoseconds, in the order of the calls."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return sorted(((n, int(a), int(b)) for n, a, b in lines), key=lambda call: call[1])


@pytest.mark.parametrize(
    ("seconds", "call_s", "count"),
    [
        (1.0, 0.0001, 40),  # 25 ms each
        (1.0, 0.01, 20),  # five calls each
        (1.0, 0.13, 1),  # two would hold four calls
        (1.0, 3.0, 1),
        (0.01, 0.001, 1),
    ],
)
def test_turns_are_short_and_hold_five_calls(seconds: float, call_s: float, count: int) -> None:
    turns, turn = plan_turns(seconds, 5, call_s)
    assert turns == count
    assert turns * turn.seconds == pytest.approx(seconds)
    assert turns * turn.min_count >= 5


@pytest.mark.usefixtures("exact_turns")
def test_one_works_at_a_time_there_and_back(
    tmp_path: Path, write_worker: Callable[[str, str], str]
) -> None:
    log = tmp_path / "log"
    modules = [write_worker(name, make_worker(name)) for name in ("one", "two")]
    outcomes, _ = run_in_turns([(m, make_case(log)) for m in modules], grace_s=60)
    calls = read_log(log)
    assert all(end <= start for (_, _, end), (_, start, _) in pairwise(calls))
    order = [name for name, _ in groupby(name for name, _, _ in calls)]
    # Each warms up; of sixteen turns the last of a pass and the first of the next are of one.
    assert order == [*["one", "two"] * 9, "one"]
    for outcome in outcomes:
        made = msgspec.json.decode(outcome.output, type=Measurement)
        assert len(made.slices) == round(0.4 / SLICE_S)
        assert sum(made.slices) == len(made.latencies_ns) == made.samples / 2
        assert made.wall_ns >= 0.4e9
        assert made.conditions is not None
        assert made.cold is not None


@pytest.mark.usefixtures("exact_turns")
def test_other_programs_are_those_that_take_no_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what the cores were busy, what the contenders took is left out, and what genx itself."""
    cores = len(list_allowed_cpus())
    before = Glimpse(
        waiting_ns=0, own_s=1.0, busy_s=10.0, stolen_s=0.0, mhz=None, celsius=None, throttles=0
    )
    after = replace(before, own_s=1.5, busy_s=10.0 + 0.5 + 2 * 30 + 20, stolen_s=8.0)
    glimpses, clock = iter([before, after]), iter([0, 100 * 10**9])
    monkeypatch.setattr(turns, "look", lambda: next(glimpses))
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic_ns=lambda: next(clock)))

    class Player:
        call_s, cpu_s, is_in = 0.001, 5.0, True

        def __init__(self, *_: object) -> None:
            """Stand in for a contender that takes 30 s of CPU time."""

        def load(self, grace_s: float) -> None:
            """It is loaded."""

        def take(self, turn: object, grace_s: float) -> None:
            self.cpu_s += 30 / 16

        def finish(self, grace_s: float) -> Outcome:
            return Outcome(output=b"")

        def end(self) -> None:
            """It has ended."""

    monkeypatch.setattr(turns, "_Player", Player)
    _, conditions = run_in_turns([("", make_case(tmp_path))] * 2, grace_s=1)
    assert conditions.others == pytest.approx(20 / 100 / cores)
    assert conditions.stolen == pytest.approx(8 / 100 / cores)


def test_a_row_has_the_conditions_of_all_and_its_own_waiting(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(tiny_bundle, "single-stream", CPU[:2])
    nothing = dict.fromkeys(("mhz_before", "mhz_after", "celsius_before", "celsius_after"))
    shared = Conditions(waiting=0.9, others=0.2, stolen=0.1, throttled=False, **nothing)
    outcomes = []
    for waiting in (0.3, 0.4):
        made = Measurement(
            warm_up=WarmUp(calls=3, stable=True, spread=0.0, call_ns=1e6),
            latencies_ns=[10**6],
            samples=1,
            wall_ns=10**6,
            versions={},
            conditions=msgspec.structs.replace(shared, waiting=waiting, others=0.7, stolen=0.8),
        )
        outcomes.append(Outcome(output=msgspec.json.encode(made)))
    monkeypatch.setattr(rounds, "run_in_turns", lambda *_, **__: (outcomes, shared))
    rounds.measure(group, LONG, 0)
    for tally, waiting in zip(group, (0.3, 0.4), strict=True):
        expected = msgspec.structs.replace(shared, waiting=waiting)
        assert [made.conditions for made in tally.rounds] == [expected]


def test_the_first_call_of_a_turn_is_not_timed(tmp_path: Path) -> None:
    first_s = 0.05
    called: list[int] = []  # in each turn

    def draw(count: int) -> None:
        time.sleep(first_s if called and not called[-1] else 0.001)
        if called:
            called[-1] += 1

    class Parent(Channel):
        def __init__(self) -> None:
            """It has nothing to say but turns."""

        def send(self, message: object) -> None:
            """What the worker says does not matter."""

        def receive(self, kind: Any) -> Any:
            if len(called) == 8:
                return None
            called.append(0)
            return Slice(seconds=0.005, min_count=3)

    case = replace(make_case(tmp_path), in_turn=True)
    made = measure_case(case, lambda _: nullcontext(Prepared(draw=draw, versions={})), Parent())
    assert all(calls > timed for calls, timed in zip(called, made.slices, strict=True))
    starts = np.cumsum([0, *made.slices[:-1]])
    assert len(starts) == 8
    # A slow machine holds up some calls so long, but not one after each start.
    assert min(made.latencies_ns[start] for start in starts) < first_s * 1e9


@pytest.mark.usefixtures("exact_turns")
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("if called == 20: os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ("if called == 20: raise MemoryError", "ran out of memory"),
        ("if called == 20: raise OSError('no disk')", "OSError: no disk"),
        ("if called == 20: time.sleep(600)", "gave no answer within"),
    ],
)
def test_who_fails_in_a_turn_is_told_and_the_others_go_on(
    tmp_path: Path, write_worker: Callable[[str, str], str], failure: str, reason: str
) -> None:
    failing = write_worker("failing", make_worker("failing", failure))
    well = write_worker("well", make_worker("well"))
    asked = [(m, make_case(tmp_path / "log")) for m in (failing, well)]
    (failed, finished), conditions = run_in_turns(asked, grace_s=10 if "sleep" in failure else 60)
    assert (conditions.others, conditions.stolen) == (None, None)  # what it took is not known
    assert reason in failed.failure
    made = msgspec.json.decode(finished.output, type=Measurement)
    assert len(made.slices) == round(0.4 / SLICE_S)


@pytest.mark.usefixtures("exact_turns")
@pytest.mark.parametrize("name", OTHERS)
def test_who_never_takes_a_turn_is_told_and_the_others_go_on(
    tmp_path: Path, write_worker: Callable[[str, str], str], name: str
) -> None:
    text, reason = OTHERS[name]
    asked = [write_worker(f"{name}_worker", text), write_worker("well", make_worker("well"))]
    cases = [(module, make_case(tmp_path / "log")) for module in asked]
    (failed, finished), _ = run_in_turns(cases, grace_s=10 if name == "hangs" else 60)
    assert reason in failed.failure
    assert not finished.failure


SPINNING = """
import hashlib, os, threading, time
from contextlib import contextmanager
from genx_runtimes.bench.worker import Prepared, serve

def spin():
    while True:  # as the threads of an engine do, without Python's lock
        hashlib.sha256(bytes(10**6))

@contextmanager
def prepare(case):
    with open(case.source, "a") as log:
        log.write(f"{os.getpid()}\\n")
    def draw(count):
        time.sleep(0.001)
        with open(f"{case.source}-cpu", "a") as log:
            log.write(f"{time.monotonic()} {time.process_time()}\\n")
    yield Prepared(draw=draw, versions={})

threading.Thread(target=spin, daemon=True).start()
serve(prepare)
"""


@pytest.mark.usefixtures("exact_turns")
def test_an_engine_that_spins_on_disturbs_nobody(
    tmp_path: Path, write_worker: Callable[[str, str], str]
) -> None:
    """Between two of its turns it takes hardly any CPU time: it is stopped."""
    log = tmp_path / "log"
    asked = [write_worker("spinning", SPINNING), write_worker("well", make_worker("well"))]
    outcomes, _ = run_in_turns([(module, make_case(log)) for module in asked], grace_s=60)
    assert [outcome.failure for outcome in outcomes] == ["", ""]
    lines = (tmp_path / "log-cpu").read_text().splitlines()
    calls = [[float(number) for number in line.split()] for line in lines]
    shares = [(c1 - c0) / (t1 - t0) for (t0, c0), (t1, c1) in pairwise(calls) if t1 - t0 > 0.02]
    assert len(shares) >= 6
    assert np.median(shares) < 0.5


def test_ctrl_c_in_a_turn_ends_them_all(
    tmp_path: Path, write_worker: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, taken, take = tmp_path / "log", [], turns._Player.take
    asked = [(write_worker(name, SPINNING), make_case(log)) for name in ("one", "two")]

    def interrupt(*args: object) -> None:
        take(*args)  # type: ignore[arg-type]
        taken.append(args)
        if len(taken) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(turns._Player, "take", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_in_turns(asked, grace_s=300)
    pids = [int(line) for line in log.read_text().split()]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_the_driver_is_killed_and_who_is_stopped_ends_too(
    tmp_path: Path, write_worker: Callable[[str, str], str]
) -> None:
    log = tmp_path / "log"
    write_worker("one", SPINNING)
    write_worker("two", SPINNING)
    write_worker(
        "driver",
        "from genx_runtimes.bench.turns import run_in_turns\n"
        "from genx_runtimes.bench.case import Case\n"
        f"case = {make_case(log, seconds=600)!r}\n"
        "run_in_turns([('one', case), ('two', case)], grace_s=300)\n",
    )
    driver = subprocess.Popen((sys.executable, "-m", "driver"))
    while not log.exists() or len(log.read_text().split()) < 2:
        assert driver.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)  # turns go on
    driver.kill()
    driver.wait()
    pids = [int(line) for line in log.read_text().split()]
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie that nobody has waited for."""
    text = read_text(Path(f"/proc/{pid}/stat"))
    return bool(text) and text.rpartition(")")[2].split()[0] != "Z"


def make_group(bundle: Path, scenario: Scenario, backends: tuple[str, ...]) -> list[Tally]:
    found = open_bundle(bundle)
    return [
        Tally(
            contender=Contender(bundle=found, name=f"{place}", module="none", backend=backend),
            scenario=scenario,
            batch=1,
            threads=1,
            examined=Examination(peak_bytes=10**8),
        )
        for place, backend in enumerate(backends)
    ]


CPU = ("onnxruntime", "torch", "openvino")
LONG = BenchOptions(min_duration_s=10.0, rounds=10)


@pytest.mark.parametrize(
    ("backends", "scenario", "options", "shared"),
    [
        (CPU, "single-stream", LONG, True),
        (CPU, "multi-stream", LONG, True),
        (CPU, "offline", LONG, False),  # an engine may compute ahead while others work
        (CPU, "server", LONG, False),
        (CPU[:1], "single-stream", LONG, False),
        (("onnxruntime:cpu", "openvino"), "single-stream", LONG, True),
        (("onnxruntime", "onnxruntime:cuda"), "single-stream", LONG, False),
        (("onnxruntime", "tensorrt"), "single-stream", LONG, False),
        (("onnxruntime", "jax"), "single-stream", LONG, False),  # where that runs is not known
        (CPU, "single-stream", replace(LONG, min_duration_s=0.4), False),  # 40 ms a round
    ],
)
def test_who_is_alive_at_the_same_time(
    tiny_bundle: Path,
    backends: tuple[str, ...],
    scenario: Scenario,
    options: BenchOptions,
    shared: bool,
) -> None:
    group = make_group(tiny_bundle, scenario, backends)
    parties, obstacle = split_group(group, options, [])
    assert parties == ([group] if shared else [[tally] for tally in group])
    told = {"onnxruntime:cuda", "tensorrt", "jax"} & {*backends} or options.min_duration_s < 1
    assert bool(obstacle) == bool(told)


def test_who_does_not_fit_in_memory_is_alone(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(tiny_bundle, "single-stream", CPU)
    for free, count in ((6 * 10**8, 1), (6 * 10**8 - 1, 3), (None, 3)):
        monkeypatch.setattr(rounds, "read_available_bytes", lambda free=free: free)
        assert len(split_group(group, LONG, [])[0]) == count
    monkeypatch.setattr(rounds, "read_available_bytes", lambda: 10**12)
    group[1].examined = Examination()  # what it takes is not known
    parties, obstacle = split_group(group, LONG, [])
    assert len(parties) == 3
    assert "is not known" in obstacle


def test_a_meter_that_does_not_keep_up_keeps_them_apart(tiny_bundle: Path) -> None:
    group = make_group(tiny_bundle, "single-stream", CPU)
    quick: list[Meter] = [RaplMeter([])]
    assert split_group(group, LONG, quick) == ([group], "")
    slow: tuple[Meter, ...] = (RailMeter([]), NvmlMeter("GPU 0", lambda: 0))
    for meter in slow:
        parties, obstacle = split_group(group, LONG, [*quick, meter])
        assert len(parties) == 3
        assert obstacle.endswith(f"by {meter.name}")


def test_what_failed_does_not_keep_the_others_apart(tiny_bundle: Path) -> None:
    group = make_group(tiny_bundle, "single-stream", CPU)
    group[1].examined, group[1].failure = None, "crashed"
    assert split_group(group, LONG, []) == ([[group[0], group[2]]], "")


@pytest.mark.usefixtures("exact_turns")
def test_the_report_holds_the_turns_and_the_ratio_of_them(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    contenders = [
        Contender(
            bundle=bundle, name=name, module="genx_runtimes.bench.worker", backend="onnxruntime"
        )
        for name in ("one", "two")
    ]
    options = BenchOptions(
        batches=(2,), threads=1, min_duration_s=0.4, rounds=2, warm_up_s=0.05, min_count=4
    )
    seen: list[str] = []
    first, other = run_bench(contenders, options, progress=seen.append).rows
    for row in (first, other):
        assert [len(turns) for turns in row.round_slices_ms] == [8, 8]
        assert len(row.round_p50_ms) == 2
        assert row.latency is not None
        assert row.latency.best_ms <= min(min(turns) for turns in row.round_slices_ms)
    assert other.speedup is not None
    assert 0.5 < other.speedup.ratio < 2
    assert "round 1 of 2: one and two, single-stream, batch 2; about" in " ".join(seen)
