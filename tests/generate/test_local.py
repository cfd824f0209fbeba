"""Real processes: any number of them make the same, and one that dies costs nothing but time."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.generate.conftest import MakePlan, Watched, read_tree, run_here
from tests.make_tiny_bundle import IMAGE, make_bundle, make_graph

from genx_runtimes import open_bundle
from genx_runtimes.errors import BackendUnavailableError, InputError, OutputError
from genx_runtimes.generate import Plan, RunOptions, generate, make_plan
from genx_runtimes.generate.ledger import read_dataset
from genx_runtimes.generate.local import choose_workers
from genx_runtimes.generate.sheet import SHEET
from genx_runtimes.manifest import CategoricalPrior

TWO = RunOptions(workers=2)

DRIVER = """
import os, signal, sys
import msgspec
from tests.generate.conftest import Watched
from genx_runtimes.generate import Plan, RunOptions, generate

plan = msgspec.json.decode(sys.argv[1], type=Plan)
stop = int(sys.argv[2])

def act(shard):
    if len(watched.made_shards) == stop:
        os.kill(os.getpid(), signal.SIGKILL)

watched = Watched(act)
generate(plan, options=RunOptions(workers=2), watch=watched)
"""


def _list_children() -> set[int]:
    """Return the processes that this one started and has not waited for."""
    me = os.getpid()
    return {int(p) for p in Path(f"/proc/self/task/{me}/children").read_text().split()}


@pytest.fixture
def list_workers() -> Callable[[], set[int]]:
    """Those that the test has started; others may have left some before it."""
    others = _list_children()
    return lambda: _list_children() - others


def _drive(plan: Plan, stop: int) -> int:
    """Make a data set in a process that is killed after some shards; return its exit code."""
    import msgspec

    command = (sys.executable, "-c", DRIVER, msgspec.json.encode(plan).decode(), str(stop))
    return subprocess.run(command, check=False).returncode


@pytest.mark.parametrize("form", ["webdataset", "png"])
def test_the_driver_is_killed_in_the_middle(plan: MakePlan, form: str) -> None:
    whole, broken = plan(folder="whole", format=form), plan(folder="broken", format=form)
    generate(whole, runner=run_here)
    assert _drive(broken, 3) == -signal.SIGKILL
    left = read_dataset(broken.folder)
    assert not left.complete
    # The third was told of after it was noted; whatever else was made by then is made again.
    assert len(left.shards) == 3
    watched = Watched()
    generate(broken, options=TWO, watch=watched)
    assert watched.kept == [shard.index for shard in left.shards]
    assert read_tree(broken.folder) == read_tree(whole.folder)


def test_workers_are_killed_in_the_middle(
    plan: MakePlan, list_workers: Callable[[], set[int]]
) -> None:
    whole, made = plan(folder="whole"), plan()
    generate(whole, runner=run_here)

    def act(_: object) -> None:
        if len(watched.made_shards) in (1, 3):
            for worker in list_workers():
                os.kill(worker, signal.SIGKILL)

    watched = Watched(act)
    summary = generate(made, options=TWO, watch=watched)
    assert sorted(watched.made_shards) == list(range(7))
    assert 1 <= len(watched.failures) <= 4  # two at a time: a new worker makes the next shard
    assert all("was killed by SIGKILL" in reason for reason in watched.reasons)
    assert summary.dataset.complete
    assert read_tree(made.folder) == read_tree(whole.folder)
    assert list_workers() == set()


def test_a_worker_ends_with_its_driver(plan: MakePlan) -> None:
    command = (sys.executable, "-m", "genx_runtimes.generate.worker")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        import msgspec

        assert worker.stdin is not None
        worker.stdin.write(msgspec.json.encode(plan(n=10**9, shard_size=10**9)) + b"\n0\n")
        worker.stdin.close()
        assert worker.wait(timeout=120) == 0


def test_ctrl_c_leaves_what_is_finished(
    plan: MakePlan, list_workers: Callable[[], set[int]]
) -> None:
    def act(_: object) -> None:
        # As a worker leaves it that is ended while it writes the sheet, beside the ledger.
        Path(plan().folder, f".{SHEET}.0123456789ab.tmp").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(plan(), options=TWO, watch=Watched(act))
    assert list_workers() == set()
    assert len(read_dataset(plan().folder).shards) == 1
    assert not list(Path(plan().folder).rglob("*.tmp"))
    generate(plan(folder="whole"), runner=run_here)
    generate(plan(), runner=run_here)
    assert read_tree(plan().folder) == read_tree(plan(folder="whole").folder)


def _make_poisoned(folder: Path) -> Path:
    """Write a bundle whose class 2 is infinite."""
    graph = make_graph(
        """g (int64[batch] label) => (float[batch,1,2,2] image) {
            value = Cast<to=1>(label)
            two = Constant<value_float=2.0>()
            less = Sub(value, two)
            bad = Reciprocal(less)
            axes = Constant<value_ints=[1]>()
            row = Unsqueeze(bad, axes)
            flat = MatMul(row, w)
            shape = Constant<value_ints=[-1,1,2,2]>()
            image = Reshape(flat, shape)
        }""",
        w=(1, 4),
    )
    prior = CategoricalPrior(name="label", classes=4)
    make_bundle("poisoned", "generator", {"generator": graph}, [prior], IMAGE, folder=folder)
    return folder / "poisoned.genx"


def test_a_shard_that_cannot_be_made_is_given_up(tmp_path: Path) -> None:
    plan = make_plan(
        open_bundle(_make_poisoned(tmp_path)),
        tmp_path / "out",
        n=4,
        shard_size=1,
        conditions={"label": "balanced"},
    )
    watched = Watched()
    summary = generate(plan, options=TWO, watch=watched)
    assert watched.failures == [(2, 1), (2, 2), (2, 3)]
    assert summary.failed[2].kind == "NonFiniteError"
    assert [shard.index for shard in summary.shards] == [0, 1, 3]


def test_what_no_worker_can_open_ends_the_run(
    plan: MakePlan, tmp_path: Path, list_workers: Callable[[], set[int]]
) -> None:
    bundle = shutil.copytree(plan().bundle, tmp_path / "copy.genx")
    made = plan(Path(bundle))
    (Path(bundle) / "graphs/fp32/generator.onnx").write_bytes(b"x")
    with pytest.raises(Exception, match=r"graphs/fp32/generator.onnx has 1 bytes"):
        generate(made, options=TWO)
    assert list_workers() == set()


def test_a_file_that_may_not_grow(plan: MakePlan, tmp_path: Path) -> None:
    """Writing fails half way, for real, in the workers."""
    import msgspec

    whole, made = plan(folder="whole", n=64, shard_size=32), plan(n=64, shard_size=32)
    generate(whole, runner=run_here)
    command = (sys.executable, "-c", DRIVER, msgspec.json.encode(made).decode(), "0")
    limit = (16 * 1024, 16 * 1024)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert "OutputError: cannot write " in done.stderr
    assert "File too large" in done.stderr
    assert [p.name for p in Path(made.folder, "data").iterdir()] == []
    generate(made, options=TWO)
    assert read_tree(made.folder) == read_tree(whole.folder)


def test_how_many_workers(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genx_runtimes.generate.local.count_usable_cores", lambda: 8)
    assert choose_workers(plan()) == 8
    assert choose_workers(plan(threads=3)) == 2
    assert choose_workers(plan(threads=9)) == 1
    assert choose_workers(plan(backend="onnxruntime:cuda")) == 1
    with pytest.raises(InputError, match="workers is 0, expected 1 or more"):
        RunOptions(workers=0)


def test_errors_of_workers_keep_their_class(plan: MakePlan) -> None:
    made = plan(backend="onnxruntime:cuda")
    with pytest.raises(BackendUnavailableError):
        generate(made, options=TWO)
    assert OutputError is not BackendUnavailableError
