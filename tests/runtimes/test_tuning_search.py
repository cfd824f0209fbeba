"""What is tried, what is chosen, and why; a made-up machine answers in place of processes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from tests.runtimes.tuning_machine import TuningMachine, Way, name_way, with_variants

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import BackendUnavailableError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.tuning import Request, Tuning, choose_sizes, search
from genx_runtimes.tuning.candidates import find_shortfall
from genx_runtimes.tuning.finals import MAX_ROUNDS

DEFAULT: Way = ("onnxruntime", "fp32", 2, 1, 4)
FAST: Way = ("openvino", "int8", 2, 1, 4)
LATENCY = Request(batches=(4,))


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return with_variants(tiny_bundle, "fp32", "int8")


def run(bundle: Bundle, machine: TuningMachine, request: Request = LATENCY) -> Tuning:
    return search(bundle, request, clock=machine.clock)


def chosen(tuning: Tuning) -> Way:
    best = tuning.best
    return best.backend, best.variant, best.threads, best.instances, best.batch


def test_the_fastest_is_chosen_and_explained(bundle: Bundle, tuning_machine: TuningMachine) -> None:
    tuning_machine.takes_ms = lambda way, _: 0.5 if way == FAST else 1.0
    found = run(bundle, tuning_machine)
    assert chosen(found) == FAST
    assert found.explain() == (
        "openvino int8 with 2 threads, 0.500 ms at batch 4: 2.00 x as fast as the default, "
        "onnxruntime fp32 with 2 threads, in 3 of 3 rounds"
    )
    assert {way[:3] for way in tuning_machine.tried} >= {
        (engine, variant, 2)
        for engine in ("onnxruntime", "openvino")
        for variant in ("fp32", "int8")
    }
    assert (FAST[0], FAST[1], 1, 1, 4) in tuning_machine.tried
    assert found.complete
    assert found.in_time
    (default,) = (c for c in found.combinations if c.is_default)
    assert default.p50_ms == 1.0


def test_what_is_no_faster_does_not_replace_the_default(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    tuning_machine.takes_ms = lambda way, _: 1.0 if way == DEFAULT else 0.99
    found = run(bundle, tuning_machine)
    assert chosen(found) == DEFAULT
    assert found.explain().startswith("the default, onnxruntime fp32 with 2 threads, 1.000 ms")
    assert "nothing was clearly faster" in found.explain()


def test_what_is_faster_only_now_and_then_does_not_either(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    def takes(way: Way, turn: int) -> float:
        return 1.0 if way == DEFAULT else (0.5, 1.5)[turn % 2]

    tuning_machine.takes_ms = takes
    found = run(bundle, tuning_machine)
    assert chosen(found) == DEFAULT
    assert max(c.rounds for c in found.combinations) == MAX_ROUNDS


def test_one_disturbed_process_does_not_throw_the_fastest_out(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    def takes(way: Way, turn: int) -> float:
        if way == FAST:
            return 1.4 if turn == 0 else 0.5
        return 1.0

    tuning_machine.takes_ms = takes
    assert chosen(run(bundle, tuning_machine)) == FAST


def test_the_default_runs_in_every_final_round(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    tuning_machine.takes_ms = lambda way, turn: 1.0 + 0.3 * ((turn + len(way[0])) % 3)
    found = run(bundle, tuning_machine)
    (default,) = (c for c in found.combinations if c.is_default)
    assert default.rounds == max(c.rounds for c in found.combinations) > 1


def test_who_draws_wrong_samples_is_never_chosen(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    tuning_machine.takes_ms = lambda way, _: {"openvino": 0.5}.get(way[0], 1.0)
    tuning_machine.wrong = lambda way: "is off by 0.3" if way[0] == "openvino" else ""
    found = run(bundle, tuning_machine)
    assert chosen(found)[0] == "onnxruntime"
    assert {c.failure for c in found.combinations if c.backend == "openvino"} == {"is off by 0.3"}


def test_without_the_default_the_fastest_that_is_right_is_taken(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    tuning_machine.takes_ms = lambda way, _: 0.5 if way[1] == "int8" else 0.7
    tuning_machine.wrong = lambda way: "is off" if way[:2] == ("openvino", "int8") else ""
    tuning_machine.fails = lambda way: "crashed" if way[0] == "onnxruntime" else ""
    found = run(bundle, tuning_machine)
    assert chosen(found)[:2] == ("openvino", "fp32")
    assert "did not run" in found.explain()


def test_nothing_runs(bundle: Bundle, tuning_machine: TuningMachine) -> None:
    tuning_machine.fails = lambda _: "crashed"
    found = run(bundle, tuning_machine)
    assert not found.has_run
    with pytest.raises(BackendUnavailableError, match="onnxruntime fp32: crashed"):
        _ = found.best


def test_a_floor(tiny_bundle: Path, tuning_machine: TuningMachine) -> None:
    bundle = with_variants(tiny_bundle, "fp32", "int8", int8={"psnr_db": 38.0})
    tuning_machine.takes_ms = lambda way, _: 0.5 if way[1] == "int8" else 1.0
    found = run(bundle, tuning_machine, Request(batches=(4,), min_psnr_db=40))
    assert chosen(found) == DEFAULT
    assert {way[1] for way in tuning_machine.tried} == {"fp32"}
    reasons = {c.failure for c in found.combinations if c.variant == "int8"}
    assert reasons == {"keeps 38.0 dB, asked for: 40 dB"}
    assert found.explain().endswith("of what keeps 40 dB")
    low = run(bundle, tuning_machine, Request(batches=(4,), min_psnr_db=38))
    assert low.best.variant == "int8"


def test_the_quality_that_counts_is_the_lower_of_graphs_and_loop(tiny_bundle: Path) -> None:
    (spec,) = open_bundle(tiny_bundle).manifest.variants
    replace = msgspec.structs.replace
    loop = replace(spec, quality={"psnr_db": 50.0, "loop_error": 0.01}, loop_tolerance=0.02)
    assert find_shortfall(loop, 41, is_exact=False) == "keeps 40.0 dB, asked for: 41 dB"
    assert find_shortfall(loop, 40, is_exact=False) == ""
    share = replace(loop, loop_tolerance=None)  # decisions, not pixels
    assert find_shortfall(share, 41, is_exact=False) == ""
    unknown = replace(spec, quality={})
    assert "not in the bundle" in find_shortfall(unknown, 30, is_exact=False)
    assert find_shortfall(unknown, 30, is_exact=True) == ""
    assert find_shortfall(unknown, None, is_exact=False) == ""


def test_a_memory_bound(bundle: Bundle, tuning_machine: TuningMachine) -> None:
    tuning_machine.takes_ms = lambda way, _: 0.5 if way[0] == "openvino" else 1.0
    tuning_machine.peak_mb = lambda way: 200 if way[0] == "openvino" else 80
    found = run(bundle, tuning_machine, Request(batches=(4,), max_memory=100 * 10**6))
    assert chosen(found)[0] == "onnxruntime"
    reasons = {c.failure for c in found.combinations if c.backend == "openvino"}
    assert reasons == {"takes 200 MB, allowed 100 MB"}
    assert max(Counter(name_way(c)[0] for c in tuning_machine.asked).items())[0] == "openvino"
    assert sum(case.backend == "openvino" for case in tuning_machine.asked) == 2  # once a variant


@pytest.mark.parametrize("budget_s", [3.0, 10.0, 20.0, 60.0])
def test_the_budget_holds(bundle: Bundle, tuning_machine: TuningMachine, budget_s: float) -> None:
    tuning_machine.process_s = 1.5
    found = run(bundle, tuning_machine, Request(batches=(4,), budget_s=budget_s))
    assert tuning_machine.now_s <= budget_s + 2 * tuning_machine.process_s
    assert found.best.is_default
    assert found.spent_s == tuning_machine.now_s


def test_what_was_not_tried_is_told(bundle: Bundle, tuning_machine: TuningMachine) -> None:
    tuning_machine.takes_ms = lambda way, _: 1.0 if way == DEFAULT else 0.1
    found = run(bundle, tuning_machine, Request(batches=(4,), budget_s=1.0))
    assert chosen(found) == DEFAULT  # nothing was shown to be better
    assert not found.in_time
    assert any("not tried" in c.note for c in found.combinations)
    assert "the budget ended" in found.explain()


def test_who_hangs_does_not_take_the_whole_budget(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    original = tuning_machine.run_child

    def hang(command: object, *, data: bytes, timeout_s: float) -> object:
        tuning_machine.process_s = 1e9 if b"openvino" in data else 0.5
        return original(command, data=data, timeout_s=timeout_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genx_runtimes.bench.rounds.run_child", hang)
        found = run(bundle, tuning_machine)
    assert chosen(found)[0] == "onnxruntime"
    assert tuning_machine.now_s <= 70
    assert any("gave no answer" in c.failure for c in found.combinations)


def test_throughput_splits_the_cores_and_chooses_the_batch(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    def takes(way: Way, _: int) -> float:
        engine, variant, threads, instances, batch = way
        call = 1.0 + 0.05 * batch  # what each call costs is worth sharing
        slower = 1.2 if instances == 1 and threads == 2 else 1.0
        return call * slower * (0.8 if (engine, variant) == ("openvino", "int8") else 1.0)

    tuning_machine.takes_ms = takes
    found = run(bundle, tuning_machine, Request(goal="throughput", batches=(1, 4, 16)))
    assert chosen(found) == ("openvino", "int8", 1, 2, 16)
    assert {case.scenario for case in tuning_machine.asked} == {"offline"}
    (default,) = (c for c in found.combinations if c.is_default)
    assert (default.instances, default.threads, default.batch) == (1, 2, 16)
    assert found.best.gain == pytest.approx(2 * 1.2 / 0.8)
    assert found.explain().startswith(
        "openvino int8 with 2 instances of 1 thread, 22,222 samples a second at batch 16: 3.00 x"
    )
    # The splits of the default itself are always tried: is it there or is it not?
    assert ("onnxruntime", "fp32", 1, 2, 16) in tuning_machine.tried


def test_fixed_threads_and_variant(bundle: Bundle, tuning_machine: TuningMachine) -> None:
    request = Request(batches=(4,), precision="int8", threads=1)
    found = run(bundle, tuning_machine, request)
    assert {way[1:4] for way in tuning_machine.tried} == {("int8", 1, 1)}
    assert found.best.is_default
    offline = Request(goal="throughput", batches=(4,), threads=1)
    run(bundle, tuning_machine, offline)
    assert ("onnxruntime", "fp32", 1, 2, 4) in tuning_machine.tried


def test_ctrl_c_leaves_what_was_known(bundle: Bundle, tuning_machine: TuningMachine) -> None:
    tuning_machine.takes_ms = lambda way, _: 0.5 if way == FAST else 1.0
    tuning_machine.interrupt_at = 6
    found = run(bundle, tuning_machine)
    assert not found.complete
    assert {c.backend for c in found.combinations} == {"onnxruntime", "openvino"}
    assert chosen(found) == DEFAULT


def test_batch_sizes() -> None:
    bounds = BatchBounds(min=1, max=64)
    assert choose_sizes(None, bounds, "latency") == (1, 16)
    assert choose_sizes(None, bounds, "throughput") == (1, 4, 16, 64)
    assert choose_sizes(None, BatchBounds(min=2, max=8), "throughput") == (4, 8)
    assert choose_sizes(None, BatchBounds(min=5, max=5), "latency") == (5,)
    assert choose_sizes((3,), bounds, "latency") == (3,)


def test_a_short_budget_goes_to_fewer_finalists(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    tuning_machine.process_s = 2.0
    tuning_machine.takes_ms = lambda way, _: 0.3 if way == FAST else 1.0
    found = run(bundle, tuning_machine, Request(batches=(4,), budget_s=40))
    assert chosen(found) == FAST
    assert len([c for c in found.combinations if c.rounds]) < 4
    assert tuning_machine.now_s <= 40
