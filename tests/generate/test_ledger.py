"""What a data set keeps to whatever happens between two runs."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.generate.conftest import DATA, TINY, MakePlan, Watched, read_tree, run_here

from genx_runtimes import open_bundle
from genx_runtimes.errors import BackendError, GenxError, InputError, OutputError
from genx_runtimes.generate import (
    Failure,
    Outcome,
    Plan,
    RunOptions,
    ShardMaker,
    generate,
    make_plan,
)
from genx_runtimes.generate import ledger as ledger_module
from genx_runtimes.generate.ledger import open_ledger, read_dataset
from genx_runtimes.generate.publishing import measure
from genx_runtimes.generate.runners import Outcomes

FORMATS = ("webdataset", "png", "npy", "parquet")


@pytest.mark.parametrize("form", FORMATS)
def test_dataset_json_tells_all(plan: MakePlan, form: str) -> None:
    made = plan(format=form)
    summary = generate(made, runner=run_here)
    dataset = read_dataset(made.folder)
    assert dataset == summary.dataset
    assert (dataset.complete, dataset.name, dataset.settings) == (True, "tiny", made.settings)
    assert dataset.settings.bundle == open_bundle(TINY).digest
    assert [(s.start, s.count) for s in dataset.shards] == [
        *((first, 16) for first in range(0, 96, 16)),
        (96, 4),
    ]
    for shard in dataset.shards:
        assert measure(Path(made.folder, shard.path)) == (shard.bytes, shard.sha256)
    listed = {Path(s.path).name for s in dataset.shards}
    assert {p.name for p in Path(made.folder, "data").iterdir()} == listed


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_broken_is_made_again_and_the_rest_is_kept(plan: MakePlan, form: str) -> None:
    made = plan(format=form)
    generate(made, runner=run_here)
    before = read_tree(made.folder)
    data = Path(made.folder, "data")
    names = sorted(p.name for p in data.iterdir())

    def break_shard(name: str, change: Callable[[Path], None]) -> None:
        path = data / name
        change(next(p for p in sorted(path.iterdir())) if path.is_dir() else path)

    break_shard(names[1], lambda path: path.write_bytes(path.read_bytes()[:-1]))
    break_shard(names[3], lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"))
    if (data / names[5]).is_dir():
        shutil.rmtree(data / names[5])
        (data / names[4] / "more.png").write_bytes(b"x")
    else:
        (data / names[5]).unlink()
    (data / f".{names[0]}.0123456789ab.tmp").write_bytes(b"half")
    (data / f".{names[2]}.ba9876543210.tmp").mkdir()
    (data.parent / ".dataset.json.0123456789ab.tmp").write_bytes(b"half")
    watched = Watched()
    summary = generate(made, runner=run_here, watch=watched)
    expected = [1, 3, 4, 5] if form in ("png", "npy") else [1, 3, 5]
    assert sorted(watched.made_shards) == expected
    assert summary.kept == 7 - len(expected)
    assert read_tree(made.folder) == before


def test_what_is_broken_does_not_wait_for_what_takes_its_place(plan: MakePlan) -> None:
    made = plan()
    generate(made, runner=run_here)
    made.path(2).write_bytes(b"broken")
    with open_ledger(made, "tiny") as ledger:
        assert ledger.list_missing() == [2]
        assert not made.path(2).exists()
        assert made.path(3).exists()


def test_what_cannot_be_read_is_not_taken_for_broken(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan()
    generate(made, runner=run_here)
    before = read_tree(made.folder)

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ledger_module, "measure", fail)
    with pytest.raises(OutputError, match=r"cannot read .*: Input/output error; remove it"):
        generate(made, runner=run_here)
    assert read_tree(made.folder) == before


def test_what_ends_a_run_is_told_although_nothing_can_be_swept(plan: MakePlan) -> None:
    def take_away(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
        shutil.rmtree(plan.folder)
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        generate(plan(), runner=take_away)


def test_an_error_of_a_runner_is_not_told_of_the_folder(plan: MakePlan) -> None:
    def break_off(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
        raise ConnectionResetError("the cluster has gone")
        yield

    with pytest.raises(ConnectionResetError):
        generate(plan(), runner=break_off)


def test_a_finished_data_set_is_left_as_it_is(plan: MakePlan) -> None:
    generate(plan(), runner=run_here)
    before = read_tree(plan().folder)

    def refuse(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
        pytest.fail("nothing is missing")

    summary = generate(plan(), runner=refuse)
    assert (summary.kept, summary.dataset.complete) == (7, True)
    assert read_tree(plan().folder) == before


CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "n": ({"n": 101}, "n is 101, it was 100"),
    "seed": ({"seed": 4}, "seed is 4, it was 3"),
    "start": ({"start": 16}, "start is 16, it was 0"),
    "shard_size": ({"shard_size": 32}, "shard size is 32, it was 16"),
    "format": ({"format": "png"}, 'format is "png", it was "webdataset"'),
    "conditions": ({"conditions": {"label": "star"}}, 'conditions is {"label":"star"}, it was {}'),
    "truncation": ({"truncation": 2.0}, "truncation is 2.0, it was null"),
    "threads": ({"threads": 2}, "threads is 2, it was 1"),
    "batch": ({"batch": 4}, "batch is 4, it was 16"),
    "backend": ({"backend": "null"}, 'backend is "null", it was "onnxruntime"'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_setting_is_refused_and_named(plan: MakePlan, name: str) -> None:
    generate(plan(), runner=run_here)
    before = read_tree(plan().folder)
    changes, told = CHANGES[name]
    with pytest.raises(InputError) as caught:
        generate(plan(**changes), runner=run_here)
    assert told in caught.value.message
    assert "choose another folder" in caught.value.fix
    assert read_tree(plan().folder) == before


def test_another_bundle_and_another_version_are_refused(plan: MakePlan) -> None:
    made = plan()
    generate(made, runner=run_here)
    with pytest.raises(InputError, match=r"the bundle's hash is .*, it was "):
        generate(plan(DATA / "tiny_vae.genx"), runner=run_here)
    path = Path(made.folder, "dataset.json")
    ledger = json.loads(path.read_text())
    ledger["settings"]["versions"]["onnxruntime"] = "1.0"
    path.write_text(json.dumps(ledger))
    with pytest.raises(InputError, match=r'versions is .*, it was .*"onnxruntime":"1.0"'):
        generate(made, runner=run_here)


def test_a_worker_refuses_another_bundle_and_another_version(plan: MakePlan) -> None:
    made = plan()
    made.path(0).parent.mkdir(parents=True)
    for name, value, told in (
        ("bundle", "0" * 64, "is another bundle than the data set is made from"),
        ("versions", {**made.settings.versions, "numpy": "1.0"}, "made with 1.0; install numpy"),
    ):
        settings = type(made.settings)(**{**_fields(made.settings), name: value})
        other = Plan(settings=settings, bundle=made.bundle, folder=made.folder)
        with ShardMaker(other) as maker:
            failure = maker.attempt(0).failure
        assert failure is not None
        assert told in str(failure.error())


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]


def test_two_at_once_are_refused(plan: MakePlan) -> None:
    made = plan()
    with (
        open_ledger(made, "tiny"),
        pytest.raises(InputError, match="another genx generate is at work in"),
    ):
        generate(made, runner=run_here)
    assert generate(made, runner=run_here).dataset.complete


def test_a_folder_with_something_else_is_refused(plan: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"holds thesis.tex, and no data set; choose a new folder"):
        generate(plan(), runner=run_here)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        generate(plan(folder="file"), runner=run_here)
    assert {p.name for p in tmp_path.iterdir()} == {"out", "file"}
    (tmp_path / "out" / "thesis.tex").rename(tmp_path / "out" / "dataset.json")
    with pytest.raises(InputError, match="is not a data set of this genx"):
        generate(plan(), runner=run_here)


def _fail_some(broken: set[int], error: GenxError, times: int = 3) -> object:
    """Return a runner with which some shards fail, so many times each."""
    failed: dict[int, int] = {}

    def run(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
        with ShardMaker(plan) as maker:
            for index in indices:
                if index in broken and failed.get(index, 0) < times:
                    failed[index] = failed.get(index, 0) + 1
                    yield Outcome(index=index, failure=Failure.of(error))
                else:
                    yield maker.attempt(index)

    return run


def test_a_shard_that_fails_is_tried_three_times(plan: MakePlan) -> None:
    generate(plan(folder="whole"), runner=run_here)
    watched = Watched()
    runner = _fail_some({2, 5}, BackendError("boom"), times=2)
    summary = generate(plan(), runner=runner, watch=watched)  # type: ignore[arg-type]
    assert watched.failures == [(2, 1), (5, 1), (2, 2), (5, 2)]
    assert summary.failed == {}
    assert read_tree(plan().folder) == read_tree(plan(folder="whole").folder)


def test_a_shard_that_fails_three_times_is_given_up_and_told(plan: MakePlan) -> None:
    generate(plan(folder="whole"), runner=run_here)
    runner = _fail_some({2}, BackendError("boom"))
    summary = generate(plan(), runner=runner)  # type: ignore[arg-type]
    assert {i: f.message for i, f in summary.failed.items()} == {2: "boom"}
    dataset = read_dataset(plan().folder)
    assert not dataset.complete
    assert [(s.index, s.start, s.count, s.reason) for s in dataset.failed] == [(2, 32, 16, "boom")]
    assert "**Incomplete**: 84 of 100" in Path(plan().folder, "README.md").read_text()
    generate(plan(), runner=run_here)
    assert read_tree(plan().folder) == read_tree(plan(folder="whole").folder)


@pytest.mark.parametrize("error", [OutputError("the disk is full"), InputError("no such bundle")])
def test_what_would_befall_every_shard_ends_the_run(plan: MakePlan, error: GenxError) -> None:
    watched = Watched()
    with pytest.raises(type(error), match=error.message):
        generate(plan(), runner=_fail_some({2}, error), watch=watched)  # type: ignore[arg-type]
    assert watched.made_shards == [0, 1]
    assert [s.index for s in read_dataset(plan().folder).shards] == [0, 1]


def test_ten_failures_in_a_row_end_the_run(plan: MakePlan) -> None:
    made = plan(shard_size=5)
    runner = _fail_some(set(range(20)), BackendError("boom", fix="mend it"))
    with pytest.raises(BackendError, match="10 attempts in a row failed, the last one: boom; mend"):
        generate(made, runner=runner)  # type: ignore[arg-type]


def test_a_shard_of_which_nothing_is_heard_is_tried_again(plan: MakePlan) -> None:
    calls: list[list[int]] = []

    def forget(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
        calls.append(list(indices))
        return run_here(plan, [i for i in indices if i != 4 or len(calls) > 1], options)

    assert generate(plan(), runner=forget).dataset.complete
    assert calls == [list(range(7)), [4]]


def test_a_folder_that_workers_do_not_share_is_told(plan: MakePlan, tmp_path: Path) -> None:
    def elsewhere(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
        settings, bundle = plan.settings, plan.bundle
        moved = Plan(settings=settings, bundle=bundle, folder=str(tmp_path / "elsewhere"))
        return run_here(moved, indices, options)

    with pytest.raises(OutputError, match=r"there is no folder .* where shards are made; choose"):
        generate(plan(), runner=elsewhere)


def test_what_cannot_fit_is_told_after_the_first_shard(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage("/")._replace(free=20_000)
    monkeypatch.setattr("genx_runtimes.generate.run.shutil.disk_usage", lambda _: free)
    watched = Watched()
    with pytest.raises(OutputError, match=r"84 more samples need some .* MB, 0 MB are free"):
        generate(plan(n=100), runner=_fail_some(set(), BackendError("")), watch=watched)  # type: ignore[arg-type]
    assert watched.made_shards == [0]


def test_the_bundle_may_be_moved(plan: MakePlan, tmp_path: Path) -> None:
    generate(plan(), runner=run_here)
    shutil.copytree(TINY, tmp_path / "moved.genx")
    settings = {"n": 100, "seed": 3, "shard_size": 16}
    moved = make_plan(open_bundle(tmp_path / "moved.genx"), plan().folder, **settings)  # type: ignore[arg-type]
    assert generate(moved, runner=run_here).kept == 7
