"""What was found is remembered, and `auto` takes it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.runtimes.tuning_machine import TuningMachine

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import InputError, OutputError
from genx_runtimes.tuning import (
    Combination,
    Request,
    Tuning,
    engines,
    measure,
    parse_budget,
    parse_goal,
    parse_memory,
    recall,
    settle,
    store,
    tune,
    tune_each,
)
from genx_runtimes.tuning.engines import describe_machine


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Replace the search; what was asked is noted."""
    made: list[Request] = []

    def search(bundle: Bundle, request: Request, **_: object) -> Tuning:
        made.append(request)
        best = Combination(
            backend="onnxruntime", variant="fp32", threads=2, p50_ms=1.0, batch=request.batches[0]
        )
        return Tuning(
            digest=bundle.digest,
            goal=request.goal,
            batches=request.batches,
            machine=describe_machine(),
            precision=request.precision,
            threads=request.threads,
            min_psnr_db=request.min_psnr_db,
            max_memory=request.max_memory,
            combinations=(best,),
        )

    monkeypatch.setattr(store, "search", search)
    return made


def latency(batch: int, **fields: object) -> Request:
    return Request(batches=(batch,), **fields)  # type: ignore[arg-type]


def remember(tuning: Tuning) -> Tuning:
    """Return a tuning as it comes out of the cache."""
    return msgspec.structs.replace(tuning, remembered=True)


def test_searched_once_for_each_batch_size_and_goal(bundle: Bundle, asked: list[Request]) -> None:
    first = tune(bundle, latency(1))
    assert not first.remembered
    assert tune(bundle, latency(1)) == remember(first)
    tune(bundle, latency(4))
    tune(bundle, Request(goal="throughput", batches=(1,)))
    tune(bundle, latency(1), again=True)
    tune(bundle, latency(1, threads=1))
    assert [(r.goal, r.batches, r.threads) for r in asked] == [
        ("latency", (1,), None),
        ("latency", (4,), None),
        ("throughput", (1,), None),
        ("latency", (1,), None),
        ("latency", (1,), 1),
    ]
    assert tune(bundle, latency(1)).best == first.best
    assert tune(bundle, latency(1, threads=1)).threads == 1
    assert len(asked) == 5


def test_another_machine_or_version_searches_anew(
    bundle: Bundle, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(bundle, latency(1))
    with monkeypatch.context() as patch:
        patch.setattr(engines, "read_cpu_model", lambda: "another CPU")
        tune(bundle, latency(1))
        assert settle(bundle, batch=1).machine.startswith("another CPU")
    monkeypatch.setattr(engines, "__version__", "99")
    tune(bundle, latency(1))
    assert len(asked) == 3


def test_other_bounds_search_anew_and_auto_takes_what_was_found_last(
    bundle: Bundle, asked: list[Request]
) -> None:
    tune(bundle, latency(1))
    tune(bundle, latency(1, min_psnr_db=40.0))
    assert settle(bundle, batch=1).min_psnr_db == 40.0
    assert [t.min_psnr_db for t in recall(bundle)] == [40.0]
    tune(bundle, latency(1, max_memory=10**9))
    tune(bundle, latency(1, max_memory=10**9))
    assert settle(bundle, batch=1).max_memory == 10**9
    assert len(asked) == 3


def test_a_search_that_was_cut_short_does_not_answer_a_longer_budget(
    bundle: Bundle, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = store.search
    in_time = [False]

    def cut(*args: object, **fields: object) -> Tuning:
        made = search(*args, **fields)  # type: ignore[arg-type]
        return msgspec.structs.replace(made, in_time=in_time[0])

    monkeypatch.setattr(store, "search", cut)
    tune(bundle, latency(1, budget_s=2.0))
    assert tune(bundle, latency(1, budget_s=2.0)).remembered
    assert tune(bundle, latency(1, budget_s=1.0)).remembered
    assert settle(bundle, batch=1).remembered  # what was found last, whatever it was given
    in_time[0] = True
    assert not tune(bundle, latency(1, budget_s=60.0)).remembered
    assert tune(bundle, latency(1, budget_s=600.0)).remembered  # all was tried, and clear
    assert len(asked) == 2


def test_batch_sizes_that_left_time_over_are_remembered_by_their_share(
    bundle: Bundle, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = store.search

    def cut(*args: object, **fields: object) -> Tuning:
        return msgspec.structs.replace(search(*args, **fields), in_time=False)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "search", cut)
    request = Request(batches=(1, 4), budget_s=60)
    found = tune_each(bundle, request, clock=lambda: 0.0)
    assert [tuning.budget_s for tuning in found] == [30.0, 30.0]
    assert all(tuning.remembered for tuning in tune_each(bundle, request, clock=lambda: 0.0))
    assert [r.budget_s for r in asked] == [30.0, 60.0]


def test_what_is_remembered_says_so(bundle: Bundle, asked: list[Request]) -> None:
    assert "remembered" not in tune(bundle, latency(1)).explain()
    found = tune(bundle, latency(1))
    assert found.explain().endswith(f"; remembered from {found.created[:10]}")
    assert settle(bundle, batch=1).explain() == found.explain()
    assert len(asked) == 1


def test_auto_takes_latency_alone_and_searches_briefly(
    bundle: Bundle, asked: list[Request]
) -> None:
    tune(bundle, Request(goal="throughput", batches=(1,)))
    settle(bundle, batch=1)
    assert [r.goal for r in asked] == ["throughput", "latency"]
    assert asked[1].budget_s < asked[0].budget_s


def test_what_was_found_is_recalled_and_nothing_is_measured(
    bundle: Bundle, codes_bundle: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recall(bundle) == ()
    made = [tune(bundle, latency(batch)) for batch in (16, 4)]
    tune(bundle, latency(2, threads=1))  # not the fastest of all
    tune(bundle, Request(goal="throughput", batches=(1, 4)))
    tune(open_bundle(codes_bundle), latency(1))
    assert recall(bundle) == (made[1], made[0])
    assert [t.batches for t in recall(bundle, "throughput")] == [(1, 4)]
    assert recall(bundle, precision="fp32") == ()
    only = tune(bundle, latency(2, precision="fp32"))
    assert recall(bundle, precision="fp32") == (only,)
    count = len(asked)
    monkeypatch.setattr(engines, "read_cpu_model", lambda: "another CPU")
    assert recall(bundle) == ()
    assert len(asked) == count


def test_a_cache_that_is_damaged_or_of_another_format_is_as_none(
    bundle: Bundle, asked: list[Request], tmp_path: Path
) -> None:
    tune(bundle, latency(1))
    (path,) = (tmp_path / "cache" / "tuning").iterdir()
    kept = json.loads(path.read_text())
    (tuning,) = kept["tunings"]
    old = {"backend": "openvino", "variant": "fp32", "threads": 2, "p50_ms": 1.0}
    for text in (
        "no JSON",
        json.dumps([{**tuning, "combinations": [old]}]),
        json.dumps({**kept, "format_version": 1}),
        json.dumps({**kept, "format_version": 3}),
        json.dumps({**kept, "tunings": [{**tuning, "goal": "energy"}]}),
    ):
        path.write_text(text)
        assert recall(bundle) == ()
        count = len(asked)
        assert tune(bundle, latency(1)).best.backend == "onnxruntime"
        assert len(asked) == count + 1
    assert msgspec.json.decode(path.read_bytes())["format_version"] == 2


def test_files_of_an_earlier_genx_do_no_harm(
    bundle: Bundle, asked: list[Request], tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "tuning"
    folder.mkdir(parents=True)
    (folder / f"{bundle.digest[:32]}-1.json").write_text('[{"digest": "x", "batch": 1}]')
    assert recall(bundle) == ()
    assert settle(bundle, batch=1).has_run


def test_a_cache_that_cannot_be(
    bundle: Bundle, asked: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "file"))
    assert recall(bundle) == ()
    with pytest.raises(OutputError, match="tuning"):
        tune(bundle, latency(1))
    assert asked == []  # told before anything is measured


def test_what_was_interrupted_is_told_and_not_kept(
    bundle: Bundle, tuning_machine: TuningMachine, tmp_path: Path
) -> None:
    tuning_machine.interrupt_at = 3
    found = tune_each(bundle, Request(batches=(1, 4)))
    assert [(t.batches, t.complete) for t in found] == [((1,), False)]
    assert recall(bundle) == ()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    tuning_machine.interrupt_at = len(tuning_machine.asked)
    with pytest.raises(KeyboardInterrupt):
        settle(bundle, batch=1)


def test_batch_sizes_share_the_budget(bundle: Bundle, asked: list[Request]) -> None:
    times = iter((0.0, 0.0, 50.0, 55.0))
    request = Request(batches=(1, 4, 8), budget_s=60)
    tune_each(bundle, request, clock=lambda: next(times))
    assert [(r.batches, r.budget_s) for r in asked] == [((1,), 20.0), ((4,), 5.0), ((8,), 5.0)]


def test_auto_runs_what_was_found(bundle: Bundle, asked: list[Request]) -> None:
    with bundle.sampler(backend="auto", batch=4) as sampler:
        (batch,) = sampler.sample(2)
    with bundle.sampler() as plain:
        (expected,) = plain.sample(2)
    np.testing.assert_array_equal(batch.output, expected.output)
    assert [r.batches for r in asked] == [(4,)]
    with pytest.raises(InputError, match="no precision 'int8'"):
        bundle.session("generator", backend="auto", precision="int8")


def test_variants_are_compared_for_those_who_choose_what_to_make(
    bundle: Bundle, tuning_machine: TuningMachine
) -> None:
    def takes(way: tuple[object, ...], turn: int) -> float:
        return {"onnxruntime": 1.0, "openvino": 1.4 if turn < 1 else 0.9}[str(way[0])]

    tuning_machine.takes_ms = takes
    found = measure(bundle, ["fp32"], batch=2)
    assert [(c.backend, c.p50_ms) for c in found] == [("openvino", 0.9), ("onnxruntime", 1.0)]
    tuning_machine.fails = lambda way: "crashed" if way[0] == "openvino" else ""
    found = measure(bundle, ["fp32"], batch=2)
    assert [(c.backend, c.failure) for c in found] == [("onnxruntime", ""), ("openvino", "crashed")]


def test_searched_for_real(bundle: Bundle) -> None:
    steps: list[str] = []
    made = tune(bundle, latency(2, budget_s=2.0), progress=steps.append)
    assert made.best.variant == "fp32"
    assert made.best.p50_ms is not None
    assert any("onnxruntime fp32" in step and "s left" in step for step in steps)


def test_what_is_asked_is_checked() -> None:
    assert [parse_budget(text) for text in ("60s", "2m", "1.5 min", "90")] == [60, 120, 90, 90]
    assert [parse_memory(text) for text in ("500MB", "1GiB")] == [500_000_000, 2**30]
    assert parse_goal("throughput") == "throughput"
    for parse, text, fix in (
        (parse_budget, "soon", "--budget 60s"),
        (parse_budget, "0s", "--budget 60s"),
        (parse_memory, "500", "--max-memory 500MB"),
        (parse_memory, "-1MB", "--max-memory 500MB"),
        (parse_goal, "latancy", "latency"),
    ):
        with pytest.raises(InputError, match=fix):
            parse(text)
    for fields in ({"budget_s": 0.0}, {"threads": 0}, {"min_psnr_db": float("nan")}):
        with pytest.raises(InputError):
            latency(1, **fields)
