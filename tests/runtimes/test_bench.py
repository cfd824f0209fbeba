from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from genx_runtimes.bench.contention import read_waiting_ns, share_waiting

from genx_runtimes.bench import BenchOptions, Contender, genx_contender, parse_batches, run_bench
from genx_runtimes.bench.case import Case
from genx_runtimes.bench.measure import summarise, time_calls, warm_up
from genx_runtimes.bench.options import MAX_ROUNDS, choose_batches
from genx_runtimes.bench.worker import prepare_genx
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import run_child
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import BatchBounds

QUICK = BenchOptions(batches=(1, 2), threads=1, min_duration_s=0.01, rounds=2, warm_up_s=0.05)
MS = 1_000_000

# Answers without measuring: latency = batch ms in one round, 3 * batch ms in another.
FAKE = """
import json, sys
case = json.load(sys.stdin)
late = case["start"] > 0
print(json.dumps({
    "warm_up": {"calls": 3, "stable": not late, "spread": 0.25 if late else 0.01},
    "latencies_ns": [case["batch"] * (3_000_000 if late else 1_000_000)] * 2,
    "waiting": 0.5 if late else None,
    "versions": {"fake": "1.2"},
}))
"""


class Work:
    """A call and its clock: each call takes the next of the given durations, then the last."""

    def __init__(self, durations_ns: list[int]) -> None:
        self._durations = durations_ns
        self.now = 0
        self.calls = 0

    def __call__(self) -> None:
        self.now += self._durations[min(self.calls, len(self._durations) - 1)]
        self.calls += 1

    def clock(self) -> int:
        return self.now


@pytest.fixture
def write_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a module that a worker process can run; returns its name."""
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def make_case(bundle: Path) -> Case:
    return Case(
        bundle=str(bundle),
        precision=None,
        backend="onnxruntime",
        source="",
        batch=3,
        threads=1,
        seed=5,
        start=40,
        seconds=0.01,
        warm_up_s=0.01,
    )


def test_percentiles_are_those_of_numpy() -> None:
    latencies = [int(x) for x in np.random.default_rng(0).integers(1, 10**9, size=101)]
    found = summarise(latencies, batch=4)
    expected = np.percentile(latencies, [50, 90, 99]) / MS
    assert [found.p50_ms, found.p90_ms, found.p99_ms] == pytest.approx(expected.tolist())
    assert found.count == 101
    assert found.samples_per_s == pytest.approx(4 * 101 / (sum(latencies) / 1e9))


def test_one_latency_is_every_percentile() -> None:
    found = summarise([2 * MS], batch=1)
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.count) == (2.0, 2.0, 2.0, 1)


def test_warm_up_ends_when_the_medians_agree() -> None:
    slow_start = [100 * MS, 50 * MS, 60 * MS, *[10 * MS] * 50]
    work = Work(slow_start)
    found = warm_up(work, limit_s=100, clock=work.clock)
    assert found.stable
    # One window of the slow calls, then three windows of three calls that agree.
    assert (found.calls, found.spread) == (12, 0.0)


def test_warm_up_that_never_settles_gives_up_and_says_so() -> None:
    work = Work([(i + 1) * MS for i in range(10_000)])
    found = warm_up(work, limit_s=0.5, clock=work.clock)
    assert not found.stable
    assert found.spread > 0.05
    assert work.now >= 0.5e9


def test_warm_up_finishes_one_window_of_a_slow_model() -> None:
    work = Work([10_000 * MS])
    found = warm_up(work, limit_s=1, clock=work.clock)
    assert (found.calls, found.stable) == (3, False)


def test_timing_lasts_as_long_as_asked_and_five_calls_at_least() -> None:
    fast, slow = Work([10 * MS]), Work([900 * MS])
    assert time_calls(fast, seconds=1, clock=fast.clock) == [10 * MS] * 100
    assert time_calls(slow, seconds=1, clock=slow.clock) == [900 * MS] * 5


def test_every_call_takes_the_next_samples(tiny_bundle: Path) -> None:
    with prepare_genx(make_case(tiny_bundle)) as contender:
        got = np.concatenate([contender.call(), contender.call()])  # type: ignore[arg-type]
    with open_bundle(tiny_bundle).sampler() as sampler:
        (expected,) = sampler.sample(6, seed=5, start=40)
    np.testing.assert_array_equal(got, expected.images())
    assert got.shape == (6, 8, 8, 1)
    assert set(contender.versions) == {"numpy", "onnxruntime"}


def test_an_output_that_is_no_image_is_not_mapped(codes_bundle: Path) -> None:
    with prepare_genx(make_case(codes_bundle)) as contender:
        got = contender.call()
    assert isinstance(got, np.ndarray)
    assert (got.shape, got.dtype) == ((3, 5), np.float32)


def test_a_bundle_is_measured(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    seen: list[str] = []
    report = run_bench(
        bundle, [genx_contender("onnxruntime", "fp32")], QUICK, before_case=seen.append
    )
    assert [(r.contender, r.batch, r.failure) for r in report.rows] == [
        ("onnxruntime fp32", 1, ""),
        ("onnxruntime fp32", 2, ""),
    ]
    for row in report.rows:
        assert row.latency is not None
        assert row.latency.count >= 10  # five calls in each round
        assert 0 < row.latency.p50_ms <= row.latency.p90_ms <= row.latency.p99_ms
    assert (report.bundle, report.digest, report.threads) == ("tiny", bundle.digest, 1)
    assert {"genx", "python", "numpy", "onnxruntime"} == set(report.versions)
    assert len(seen) == 4
    assert report.failures == ()


def test_rounds_are_pooled(tiny_bundle: Path, write_worker: Callable[[str, str], str]) -> None:
    fake = Contender(name="fake", module=write_worker("fake_worker", FAKE))
    report = run_bench(open_bundle(tiny_bundle), [fake], QUICK)
    one, two = report.rows
    assert one.latency is not None
    assert two.latency is not None
    assert (one.latency.count, one.latency.p50_ms) == (4, pytest.approx(2.0))
    assert two.latency.samples_per_s == pytest.approx(2 * 4 / 16e-3)
    assert (one.stable, one.spread, one.waiting, one.disturbed) == (False, 0.25, 0.5, True)
    assert report.versions["fake"] == "1.2"


def test_a_crash_or_a_hang_is_a_row_and_the_rest_goes_on(
    tiny_bundle: Path, write_worker: Callable[[str, str], str]
) -> None:
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    contenders = [
        Contender(name="killed", module=write_worker("killed_worker", kill)),
        Contender(name="raises", module=write_worker("raising_worker", "raise OSError('no disk')")),
        Contender(name="chatty", module=write_worker("chatty_worker", "print('hello')")),
        Contender(name="fake", module=write_worker("fake_worker", FAKE)),
    ]
    options = BenchOptions(batches=(2,), rounds=2)
    seen: list[str] = []
    report = run_bench(open_bundle(tiny_bundle), contenders, options, before_case=seen.append)
    reasons = {row.contender: row.failure for row in report.failures}
    assert reasons["killed"] == "was killed by SIGKILL"
    assert reasons["raises"] == "OSError: no disk"
    assert "no measurement" in reasons["chatty"]
    assert report.rows[3].latency is not None
    assert len(seen) == 3 + 2  # what failed is not tried again


def test_a_hanging_worker_is_ended() -> None:
    outcome = run_child((sys.executable, "-c", "import time; time.sleep(600)"), timeout_s=0.5)
    assert outcome.failure == "gave no answer within 0.5 s and was ended"


def test_a_worker_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    outcome = run_child(
        (sys.executable, "-m", "genx_runtimes.bench.worker"),
        data=msgspec.json.encode(make_case(tmp_path / "none.genx")),
        timeout_s=60,
    )
    assert outcome.failure.startswith(f"there is no bundle at {tmp_path / 'none.genx'}; ")


def test_a_program_that_is_not_there() -> None:
    outcome = run_child(("/nonexistent/program",), timeout_s=5)
    assert outcome.failure == "cannot be started: No such file or directory"


def test_speedup(tiny_bundle: Path, write_worker: Callable[[str, str], str]) -> None:
    module = write_worker("fake_worker", FAKE)
    slow = write_worker("slow_worker", FAKE.replace("_000_000", "0_000_000"))
    contenders = [Contender(name="a", module=module), Contender(name="torch", module=slow)]
    options = BenchOptions(batches=(1,), rounds=1)
    report = run_bench(open_bundle(tiny_bundle), contenders, options)
    a, torch = report.rows
    assert report.speedup(a, "torch") == pytest.approx(10.0)
    assert report.speedup(torch, "torch") == pytest.approx(1.0)
    assert report.speedup(a, "absent") is None


def test_batches() -> None:
    assert parse_batches("1, 4,16,4") == (1, 4, 16)
    for text in ("", "0", "1,x", "-1", "1,,2"):
        with pytest.raises(InputError, match="not a list of batch sizes"):
            parse_batches(text)
    assert choose_batches(None, BatchBounds(min=1, max=64)) == (1, 4, 16)
    assert choose_batches(None, BatchBounds(min=2, max=8)) == (4,)
    assert choose_batches(None, BatchBounds(min=5, max=5)) == (5,)
    with pytest.raises(InputError, match="takes 1 to 8"):
        choose_batches((1, 9), BatchBounds(min=1, max=8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_duration_s": 0.0}, "min-duration is 0.0"),
        ({"min_duration_s": float("nan")}, "min-duration is nan"),
        ({"rounds": 0}, "rounds is 0"),
        ({"rounds": MAX_ROUNDS + 1}, "rounds is"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_options_are_checked(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BenchOptions(**changes)  # type: ignore[arg-type]


def test_waiting_is_summed_over_threads(tmp_path: Path) -> None:
    assert read_waiting_ns(tmp_path) is None
    for thread, text in (("10", "500 70 3"), ("11", "900 30 8")):
        folder = tmp_path / "proc/self/task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(f"{text}\n")
    assert read_waiting_ns(tmp_path) == 100
    assert share_waiting(100, 300, wall_ns=1000, threads=2) == pytest.approx(0.1)
    assert share_waiting(None, 300, wall_ns=1000, threads=2) is None
    assert share_waiting(300, 100, wall_ns=1000, threads=2) == 0  # a thread has ended
