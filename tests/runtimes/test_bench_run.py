from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from genx_runtimes.bench import (
    BenchOptions,
    BenchReport,
    Contender,
    decode_report,
    encode_report,
    genx_contender,
    parse_batches,
    parse_scenarios,
    run_bench,
)
from genx_runtimes.bench import rounds as rounds_module
from genx_runtimes.bench.case import Case, Measurement
from genx_runtimes.bench.examine import check_golden, examine
from genx_runtimes.bench.footprint import describe_device, measure_installed
from genx_runtimes.bench.measure import WarmUp
from genx_runtimes.bench.options import MAX_ROUNDS, choose_batches
from genx_runtimes.bench.record import SCENARIOS
from genx_runtimes.bench.rows import make_row
from genx_runtimes.bench.tally import Tally
from genx_runtimes.bench.worker import draw_endlessly, prepare_genx
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.child import Outcome, run_child
from genx_runtimes.errors import InputError, VerificationError
from genx_runtimes.manifest import BatchBounds

QUICK = BenchOptions(
    batches=(1, 2), threads=1, min_duration_s=0.02, rounds=2, warm_up_s=0.05, min_count=4
)
DATA = Path(__file__).parents[1] / "data"

# Answers without measuring: latency = batch ms in one round, 3 * batch ms in another.
FAKE = """
import json, sys
case = json.load(sys.stdin)
late = case["start"] > 0
disturbed = {name: None for name in
    ("others", "stolen", "mhz_before", "mhz_after", "celsius_before", "celsius_after", "throttled")}
print(json.dumps({} if case["examine"] else {
    "warm_up": {"calls": 3, "stable": not late, "spread": 0.25 if late else 0.01, "call_ns": 1e6},
    "latencies_ns": [case["batch"] * (3_000_000 if late else 1_000_000)] * 2,
    "samples": 2 * case["batch"],
    "wall_ns": 2 * case["batch"] * (3_000_000 if late else 1_000_000),
    "conditions": {"waiting": 0.5, **disturbed} if late else None,
    "versions": {"fake": "1.2"},
}))
"""


@pytest.fixture
def tiny(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


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


def test_every_call_takes_the_next_samples(tiny: Bundle) -> None:
    with prepare_genx(make_case(tiny.path)) as contender:
        got = np.concatenate([contender.draw(2), contender.draw(4)])  # type: ignore[arg-type]
        streamed = contender.streams[0]()
    with tiny.sampler() as sampler:
        (expected,) = sampler.sample(6, seed=5, start=40)
    np.testing.assert_array_equal(got, expected.images())
    np.testing.assert_array_equal(streamed, expected.images()[:3])  # type: ignore[arg-type]
    assert set(contender.versions) == {"numpy", "onnxruntime"}


def test_the_engine_is_imported_before_it_is_loaded(
    tiny: Bundle, write_worker: Callable[[str, str], str]
) -> None:
    """What importing the engine takes is import time, whatever the worker."""
    worker = write_worker(
        "import_worker",
        "import sys\n"
        "from contextlib import contextmanager\n"
        "from genx_runtimes.bench.worker import Prepared, serve\n"
        "@contextmanager\n"
        "def prepare(case):\n"
        "    known = 'onnxruntime' in sys.modules\n"
        "    yield Prepared(draw=lambda _: None, versions={'known': str(known)})\n"
        "serve(prepare)\n",
    )
    contender = Contender(bundle=tiny, name="x", module=worker, backend="onnxruntime:cpu")
    (row,) = run_bench([contender], replace(PLAIN, rounds=1)).rows
    assert row.versions == {"known": "True"}


def test_instances_draw_different_samples(tiny: Bundle) -> None:
    case = replace(make_case(tiny.path), instances=2)
    with prepare_genx(case) as contender:
        one, two = (call() for call in contender.streams)
    assert not np.array_equal(one, two)  # type: ignore[arg-type]


def test_an_output_that_is_no_image_is_not_mapped(codes_bundle: Path) -> None:
    with prepare_genx(make_case(codes_bundle)) as contender:
        got = contender.draw(3)
    assert isinstance(got, np.ndarray)
    assert (got.shape, got.dtype) == ((3, 5), np.float32)


def test_a_bundle_is_measured(tiny: Bundle) -> None:
    seen: list[str] = []
    report = run_bench([genx_contender(tiny, "onnxruntime", None)], QUICK, progress=seen.append)
    assert [(r.contender, r.batch, r.verdict != "failed") for r in report.rows] == [
        ("onnxruntime fp32", 1, True),
        ("onnxruntime fp32", 2, True),
    ]
    for row in report.rows:
        assert row.latency is not None
        assert row.latency.count >= 4
        assert 0 < row.latency.best_ms <= row.latency.p50_ms
        assert row.histogram is not None
        assert sum(row.histogram.counts) == row.latency.count
        assert len(row.round_p50_ms) == 2
        assert row.parts is not None
        assert min(row.parts.latents_ms, row.parts.engine_ms, row.parts.encoding_ms) > 0
        assert row.cold is not None
        assert min(row.cold.import_s, row.cold.load_s, row.cold.first_sample_s) > 0
        assert row.memory is not None
        assert row.memory.peak_resident > 20_000_000  # type: ignore[operator]
        assert row.memory.engine == tiny.manifest.variants[0].graphs["generator"].bytes
        assert row.metric is not None
        assert set(row.versions) == {"numpy", "onnxruntime"}
        assert (row.threads, row.instances, row.steps, row.step_ms) == (1, 1, 1, None)
    (bundle,) = report.bundles
    assert (bundle.name, bundle.digest) == ("tiny", tiny.digest)
    assert report.complete
    # Once a batch size, the machine once, then in two rounds.
    steps = ["checking"] * 2 + ["measuring"] + ["profiling"] * 2 + ["round"] * 4
    assert [text.split(" ")[0] for text in seen] == steps
    assert "left" in seen[-1]
    assert decode_report(encode_report(report)) == report


def test_every_scenario_of_one_bundle(tiny: Bundle) -> None:
    options = replace(QUICK, scenarios=SCENARIOS, batches=(4,), rounds=1, min_duration_s=1.0)
    contender = genx_contender(tiny, "onnxruntime", None, instances=2)
    rows = {row.scenario: row for row in run_bench([contender], options).rows}
    units = {name: (row.metric.name, row.metric.unit) for name, row in rows.items() if row.metric}
    assert units == {
        "single-stream": ("p90 latency", "ms"),
        "multi-stream": ("p99 latency", "ms"),
        "offline": ("throughput", "1/s"),
        "server": ("queries under the latency bound", "1/s"),
    }
    assert rows["offline"].instances == 2
    assert rows["single-stream"].instances == 1
    # The others' calls are not those that were examined and profiled.
    known = {name: (bool(row.parts), bool(row.limit)) for name, row in rows.items()}
    assert known["single-stream"] == (True, bool(rows["single-stream"].limit))
    assert {known[name] for name in ("multi-stream", "offline", "server")} == {(False, False)}
    assert rows["offline"].metric.value == rows["offline"].samples_per_s  # type: ignore[union-attr]
    latency = rows["server"].latency
    assert latency is None or latency.count >= 500


def test_a_loop_tells_its_steps() -> None:
    bundle = open_bundle(DATA / "tiny_diffusion.genx")
    with bundle.sampler() as sampler:
        found = examine(sampler, 2, seed=0)
    (calls,) = found.engine_calls.values()
    assert found.steps == calls > 1
    assert found.step_ms is not None
    assert found.parts is not None
    assert found.step_ms * found.steps >= found.parts.engine_ms


def test_rounds_are_pooled(tiny: Bundle, write_worker: Callable[[str, str], str]) -> None:
    fake = Contender(bundle=tiny, name="fake", module=write_worker("fake_worker", FAKE))
    report = run_bench([fake], QUICK)
    one, two = report.rows
    assert one.latency is not None
    assert (one.latency.count, one.latency.p50_ms) == (4, pytest.approx(2.0))
    assert one.round_p50_ms == pytest.approx((1.0, 3.0))
    assert two.samples_per_s == pytest.approx(8 / 16e-3)
    assert (one.verdict, report.verdict) == ("noisy", "noisy")
    reasons = " ".join(one.reasons)
    for text in ("waited 50%", "25% apart", "rounds are 200% apart"):
        assert text in reasons
    assert one.versions["fake"] == "1.2"


def test_a_crash_a_hang_and_no_memory_are_rows_and_the_rest_goes_on(
    tiny: Bundle, write_worker: Callable[[str, str], str]
) -> None:
    wanted = {
        "killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        "raises": ("raise OSError('no disk')", "OSError: no disk"),
        "chatty": ("print('hello')", "no measurement"),
        "hangs": ("import time\ntime.sleep(600)", "no answer within"),
        "hungry": (
            "import sys\n"
            "from genx_runtimes.bench.worker import serve\n"
            "def prepare(case):\n    raise MemoryError\n"
            "serve(prepare)",
            "ran out of memory",
        ),
    }
    contenders = [
        Contender(bundle=tiny, name=name, module=write_worker(f"{name}_worker", text))
        for name, (text, _) in wanted.items()
    ]
    contenders.append(Contender(bundle=tiny, name="fake", module=write_worker("fake_w", FAKE)))
    options = BenchOptions(batches=(2,), rounds=2, min_duration_s=0.1, warm_up_s=0.1, grace_s=10)
    seen: list[str] = []
    report = run_bench(contenders, options, progress=seen.append)
    reasons = {row.contender: row.reasons[0] for row in report.failures}
    for name, (_, reason) in wanted.items():
        assert reason in reasons[name]
    assert report.rows[-1].latency is not None
    assert len(seen) == 6 + 2  # each is checked; what failed is not measured


def test_wrong_samples_are_a_row_with_its_reason(tiny: Bundle) -> None:
    contenders = [genx_contender(tiny, name, None) for name in ("null", "onnxruntime")]
    wrong, right = run_bench(contenders, replace(QUICK, batches=(1,), rounds=1)).rows
    assert (wrong.verdict, wrong.latency) == ("failed", None)
    assert "is off by" in wrong.reasons[0]
    assert right.latency is not None


def test_the_golden_check_can_fail(tiny: Bundle) -> None:
    with tiny.sampler() as sampler:
        check_golden(tiny, sampler, None)
    with tiny.sampler(backend="null") as sampler, pytest.raises(VerificationError):
        check_golden(tiny, sampler, None)


def test_what_was_measured_before_ctrl_c_is_kept(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, write_worker: Callable[[str, str], str]
) -> None:
    run, asked = rounds_module.run_child, []

    def interrupt(*args: object, **fields: object) -> object:
        asked.append(args)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return run(*args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(rounds_module, "run_child", interrupt)
    fake = Contender(bundle=tiny, name="fake", module=write_worker("fake_worker", FAKE))
    report = run_bench([fake], QUICK)
    assert not report.complete
    (row,) = report.rows  # batch 1; the first round of batch 2 was cut
    assert (row.batch, row.latency and row.latency.count) == (1, 2)


def test_what_does_not_fit_a_scenario_is_a_row_with_its_reason(tiny: Bundle) -> None:
    manifest = msgspec.structs.replace(tiny.manifest, batch=BatchBounds(min=3, max=16))
    fixed = Bundle.__new__(Bundle)
    fixed.__dict__.update(tiny.__dict__, manifest=manifest)
    options = replace(QUICK, batches=(4,), scenarios=("multi-stream", "server"))
    multi, server = run_bench([genx_contender(fixed, "onnxruntime", None)], options).failures
    assert "does not fit batches of at least 3" in multi.reasons[0]
    assert "below the bundle's smallest batch" in server.reasons[0]


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


def test_a_contender_may_take_part_at_some_batch_sizes(
    tiny: Bundle, write_worker: Callable[[str, str], str]
) -> None:
    module = write_worker("fake_worker", FAKE)
    two = Contender(bundle=tiny, name="two", module=module, batches=(2,))
    every = Contender(bundle=tiny, name="every", module=module)
    rows = run_bench([two, every], QUICK).rows
    assert [(r.contender, r.batch) for r in rows] == [("every", 1), ("two", 2), ("every", 2)]


def test_what_a_report_cannot_tell_apart_is_refused(tiny: Bundle, tmp_path: Path) -> None:
    one = genx_contender(tiny, "onnxruntime", None)
    with pytest.raises(InputError, match="is to be measured twice"):
        run_bench([one, one], QUICK)
    shutil.copytree(tiny.path, tmp_path / "other.genx")
    manifest = tmp_path / "other.genx" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    other = genx_contender(open_bundle(tmp_path / "other.genx"), "onnxruntime", None)
    with pytest.raises(InputError, match="two bundles are called 'tiny'"):
        run_bench([one, other], QUICK)


def test_instances_share_the_threads(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Case] = []

    def answer(command: object, *, data: bytes, timeout_s: float) -> Outcome:
        del command, timeout_s
        asked.append(msgspec.json.decode(data, type=Case))
        return Outcome(output=b"", failure="enough")

    monkeypatch.setattr(rounds_module, "run_child", answer)
    options = replace(QUICK, threads=4, scenarios=("offline", "single-stream"), batches=(1,))
    run_bench([genx_contender(tiny, "onnxruntime", None, instances=2)], options)
    options = replace(options, examine=False)
    run_bench([genx_contender(tiny, "onnxruntime", None, instances=2)], options)
    assert {(c.scenario, c.threads, c.instances) for c in asked if not c.examine} == {
        ("offline", 2, 2),
        ("single-stream", 4, 1),
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Answer every case as `FAKE` does its first one; what was asked is noted."""
    made: list[Case] = []

    def answer(command: object, *, data: bytes, timeout_s: float) -> Outcome:
        del command, timeout_s
        case = msgspec.json.decode(data, type=Case)
        made.append(case)
        call_ns = {"onnxruntime": 2_000_000, "openvino": 1_000_000}[case.backend]
        measured = Measurement(
            warm_up=WarmUp(calls=3, stable=True, spread=0.0, call_ns=call_ns),
            latencies_ns=[call_ns] * 5,
            samples=5 * case.batch,
            wall_ns=5 * call_ns,
            versions={},
            rate=9.0 if case.scenario == "server" else None,
        )
        return Outcome(output=msgspec.json.encode(measured))

    monkeypatch.setattr(rounds_module, "run_child", answer)
    return made


PLAIN = replace(QUICK, examine=False, batches=(1,))


def test_every_other_round_goes_back(tiny: Bundle, asked: list[Case]) -> None:
    contenders = [genx_contender(tiny, name, None) for name in ("onnxruntime", "openvino")]
    run_bench(contenders, replace(PLAIN, rounds=3))
    there = ["onnxruntime", "openvino"]
    assert [case.backend for case in asked] == [*there, *there[::-1], *there]


def test_the_report_carries_the_ratio_of_two_backends(tiny: Bundle, asked: list[Case]) -> None:
    contenders = [genx_contender(tiny, name, None) for name in ("onnxruntime", "openvino")]
    options = replace(PLAIN, scenarios=("single-stream", "offline", "server"))
    report = run_bench(contenders, options)
    single, offline, server = (report.rows[place : place + 2] for place in (0, 2, 4))
    for first, other in (single, offline):
        assert first.speedup is None
        assert other.speedup is not None
        assert (other.speedup.contender, other.speedup.rounds) == ("onnxruntime fp32", 2)
        assert other.speedup.ratio == pytest.approx(2.0)
    assert offline[1].round_samples_per_s == pytest.approx((1000.0, 1000.0))
    assert [row.speedup for row in server] == [None, None]
    assert server[0].round_samples_per_s == ()
    assert asked


def test_a_search_for_a_rate_has_the_time_it_needs(tiny: Bundle, asked: list[Case]) -> None:
    options = replace(PLAIN, rounds=10, scenarios=("server", "single-stream"), min_duration_s=6.0)
    run_bench([genx_contender(tiny, "onnxruntime", None)], options)
    seconds = [case.seconds for case in asked if case.scenario == "server"]
    assert seconds == [2.0] * 3
    assert sum(case.scenario == "single-stream" for case in asked) == 10


def test_a_row_that_flips_between_two_speeds_is_unstable(
    tiny: Bundle, write_worker: Callable[[str, str], str]
) -> None:
    flips = FAKE.replace("late = ", 'late = case["start"] // 2**44 in (2, 3, 7)\nspeed = ')
    flips = flips.replace('"stable": not late', '"stable": True').replace("0.5, **", "0.0, **")
    flips = flips.replace("3_000_000", "1_400_000")
    fake = Contender(bundle=tiny, name="fake", module=write_worker("flips_worker", flips))
    (row,) = run_bench([fake], replace(QUICK, batches=(1,), rounds=10)).rows
    assert row.verdict == "unstable"
    assert "the medians of the rounds are 40% apart" in row.reasons


def test_calls_too_slow_for_a_warm_up_are_no_instability(
    tiny: Bundle, write_worker: Callable[[str, str], str]
) -> None:
    slow = FAKE.replace(
        '"stable": not late, "spread": 0.25 if late else 0.01', '"stable": False, "spread": 0'
    )
    slow = slow.replace("3_000_000", "1_000_000").replace("0.5, **", "0.0, **")
    fake = Contender(bundle=tiny, name="fake", module=write_worker("slow_worker", slow))
    (row,) = run_bench([fake], replace(QUICK, batches=(1,))).rows
    assert row.verdict == "valid"
    assert "calls are too slow for the warm-up" in row.reasons[0]


def test_quality_is_the_lower_of_graphs_and_loop(tiny: Bundle) -> None:
    (spec,) = tiny.manifest.variants
    int8 = msgspec.structs.replace(
        spec,
        name="int8",
        min_psnr_db=30.0,
        loop_tolerance=0.02,
        quality={"psnr_db": 45.0, "loop_error": 0.01},
    )
    manifest = msgspec.structs.replace(tiny.manifest, variants=(spec, int8))
    bundle = Bundle.__new__(Bundle)
    bundle.__dict__.update(tiny.__dict__, manifest=manifest)
    told = []
    for name in ("fp32", "int8"):
        contender = genx_contender(bundle, "onnxruntime", name)
        tally = Tally(contender=contender, scenario="offline", batch=1, threads=1)
        told.append(make_row(tally, idle_w={}, min_count=1).psnr_db)
    assert told == [None, pytest.approx(40.0)]


def test_a_report_that_is_none() -> None:
    for text in (b"", b"[]", b'{"format": "other"}'):
        with pytest.raises(InputError, match="no report of genx bench"):
            decode_report(text)


def test_the_json_has_no_infinity(tiny: Bundle, write_worker: Callable[[str, str], str]) -> None:
    fake = Contender(bundle=tiny, name="fake", module=write_worker("fake_worker", FAKE))
    data = encode_report(run_bench([fake], QUICK))
    json.loads(data, parse_constant=pytest.fail)
    assert isinstance(decode_report(data), BenchReport)


def test_the_device_is_described(tmp_path: Path) -> None:
    assert describe_device().usable_cores >= 1
    path = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    path.parent.mkdir(parents=True)
    path.write_text("powersave\n")
    assert describe_device(tmp_path).power_mode == "powersave"


def test_the_installed_size_counts_what_is_needed() -> None:
    alone, more = measure_installed("numpy"), measure_installed("numpy", "onnxruntime")
    assert alone is not None
    assert more is not None
    assert 5_000_000 < alone < more
    assert measure_installed("no-such-package") is None


def test_streams_never_repeat_a_sample(tiny: Bundle) -> None:
    with tiny.sampler() as sampler:
        call = draw_endlessly(sampler, make_case(tiny.path))
        assert not np.array_equal(call(), call())  # type: ignore[arg-type]


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


def test_scenarios() -> None:
    assert parse_scenarios("offline, single-stream,offline") == ("offline", "single-stream")
    assert parse_scenarios("all") == SCENARIOS
    with pytest.raises(InputError, match="unknown scenario 'ofline'; did you mean 'offline'"):
        parse_scenarios("ofline")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_duration_s": 0.0}, "min-duration is 0.0"),
        ({"min_duration_s": float("nan")}, "min-duration is nan"),
        ({"latency_bound_ms": -1.0}, "latency-bound is -1.0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"rounds": MAX_ROUNDS + 1}, "rounds is"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_options_are_checked(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BenchOptions(**changes)  # type: ignore[arg-type]
