"""Shards made on Ray: the same as elsewhere, whoever is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import GenxError, OutputError
from genx_runtimes.generate import (
    Failure,
    Outcome,
    Plan,
    RunOptions,
    Shard,
    ShardMaker,
    find_runner,
    generate,
)
from genx_runtimes.generate import make_plan as make_any_plan
from genx_runtimes.generate.ledger import read_dataset
from genx_runtimes.generate.run import Unwatched
from genx_runtimes.generate.runners import Outcomes
from genx_runtimes.version import __version__

ray: Any = pytest.importorskip("ray", reason="--on ray is tested where genx[ray] is installed")
parquet: Any = pytest.importorskip("pyarrow.parquet", reason="Parquet needs genx[parquet]")

# Ray Data's own, of options that genx does not set.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.data\..*")

TINY = Path(__file__).parent.parent / "data" / "tiny.genx"
LIMIT_S = 60


def add_node(cluster: Any) -> Any:
    """Start a node of one CPU; Ray gives up one that takes 30 s, as on a busy machine."""
    for _ in range(5):
        try:
            return cluster.add_node(num_cpus=1, include_dashboard=False)
        except Exception as err:  # that is what Ray raises
            failure = err
    raise failure


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, a CPU each, and this process as the driver."""
    from ray.cluster_utils import Cluster

    from genx_runtimes.generate.ray_cluster import join_cluster

    # The actors of these tests reach Ray's processes as code, which cannot import this file.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    made = Cluster()
    for _ in range(2):
        add_node(made)
    with join_cluster(RunOptions(address=made.address), {"CPU": 1}):
        yield made
    made.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The hash of each shard that was made in this process, undisturbed."""
    made = generate(make_plan(tmp_path_factory.mktemp("made") / "here"), runner=make_here)
    return {shard.index: shard.sha256 for shard in made.shards}


def make_plan(folder: Path) -> Plan:
    return make_any_plan(open_bundle(TINY), folder, n=40, seed=7, shard_size=5, format="parquet")


def make_here(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
    with ShardMaker(plan) as maker:
        yield from map(maker.attempt, indices)


def read_hashes(folder: Path) -> dict[int, str]:
    """Return the hash of each finished shard; nothing else may lie beside them."""
    dataset = read_dataset(folder)
    assert dataset.complete
    names = sorted(path.name for path in (folder / "data").iterdir())
    assert names == [Path(s.path).name for s in dataset.shards]
    return {shard.index: shard.sha256 for shard in dataset.shards}


def wait_for(path: Path) -> None:
    end = time.monotonic() + LIMIT_S
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


class Failures(Unwatched):
    """Notes the attempts that failed."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def failed(self, index: int, failure: Failure, attempt: int) -> None:
        self.told.append((index, attempt))


def make_dying_actor(index: int, *, once: Path | None = None) -> type:
    """Return an actor that is killed when a shard is written but has not got its name yet."""
    from genx_runtimes.generate.on_ray import ShardActor

    class DyingActor(ShardActor):
        def __call__(self, row: dict[str, int]) -> dict[str, bytes]:
            if row["index"] == index and (once is None or not once.exists()):
                from genx_runtimes.generate import shard

                if once is not None:
                    once.touch()
                shard.measure = lambda _: os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(row)

    return DyingActor


def test_the_command_makes_what_local_processes_make(tmp_path: Path) -> None:
    def make(folder: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "genx_cli", "generate", str(TINY), "-o", folder]
        command += ["-n", "40", "--shard-size", "5", "--format", "parquet", "--workers", "2"]
        return subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=True
        )

    make("here")
    done = make("there", "--on", "ray", "--ray-address", "local")
    assert done.stderr == ""
    assert "Ray started on this machine: 1 nodes, 2 CPUs" in done.stdout
    assert read_hashes(tmp_path / "there") == read_hashes(tmp_path / "here")
    pixels = [
        parquet.read_table(tmp_path / folder / "data", columns=["image"]).column("image")
        for folder in ("here", "there")
    ]
    assert len(pixels[0]) == 40
    assert pixels[0].equals(pixels[1])


def test_a_finished_shard_is_told_before_the_next_one_is_made(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genx_runtimes.generate.on_ray import ShardActor

    told = tmp_path / "told"

    class Patient(ShardActor):
        def __call__(self, row: dict[str, int]) -> dict[str, bytes]:
            if self._maker is not None:
                wait_for(told)
            return super().__call__(row)

    monkeypatch.setattr("genx_runtimes.generate.on_ray.ShardActor", Patient)
    plan = make_plan(tmp_path / "made")
    plan.path(0).parent.mkdir(parents=True)
    for outcome in find_runner("ray")(plan, [0, 1], RunOptions(workers=1)):
        assert outcome.shard is not None
        told.touch()


def test_a_killed_worker_is_replaced_and_its_shard_made_again(
    cluster: Any, expected: dict[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = make_dying_actor(3, once=tmp_path / "died")
    monkeypatch.setattr("genx_runtimes.generate.on_ray.ShardActor", actor)
    watch = Failures()
    summary = generate(
        make_plan(tmp_path / "made"),
        runner=find_runner("ray"),
        options=RunOptions(workers=2),
        watch=watch,
    )
    assert watch.told == [(3, 1)]
    assert not summary.failed
    assert read_hashes(tmp_path / "made") == expected


def test_a_shard_that_kills_its_worker_is_not_tried_for_ever(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genx_runtimes.generate.on_ray.ShardActor", make_dying_actor(3))
    plan = make_plan(tmp_path / "made")
    plan.path(0).parent.mkdir(parents=True)
    outcomes = {o.index: o for o in find_runner("ray")(plan, [3, 4], RunOptions(workers=1))}
    assert outcomes[4].shard is not None
    assert outcomes[3].failure == Failure(
        kind="BackendError", message="the Ray worker that made shard 3 died"
    )


def test_a_killed_driver_leaves_what_a_second_run_completes(
    cluster: Any, expected: dict[int, str], tmp_path: Path
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from genx_runtimes.generate import RunOptions, find_runner, generate
from genx_runtimes.generate.run import Unwatched
from genx_runtimes.generate.runners import Outcomes
from tests.generate.test_on_ray import make_plan

class Killed(Unwatched):
    made_so_far = 0
    def made(self, shard):
        self.made_so_far += 1
        if self.made_so_far == 3:
            os.kill(os.getpid(), signal.SIGKILL)

options = RunOptions(workers=2, address={cluster.address!r})
generate(make_plan(Path("made").absolute()), runner=find_runner("ray"), options=options,
         watch=Killed())
"""
    root = str(Path(__file__).parent.parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, root])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    begun = read_dataset(tmp_path / "made")
    assert len(begun.shards) == 3
    assert not begun.complete
    summary = generate(make_plan(tmp_path / "made"), runner=make_here)
    assert summary.kept == 3
    assert read_hashes(tmp_path / "made") == expected


def test_a_cluster_that_loses_a_node_finishes(
    cluster: Any, expected: dict[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genx_runtimes.generate.on_ray import ShardActor

    lost_node = add_node(cluster)
    at_work, lost_id = tmp_path / "at_work", lost_node.node_id

    class Stuck(ShardActor):
        """On the node that will be lost, never finishes; elsewhere, waits until it is at work."""

        def __call__(self, row: dict[str, int]) -> dict[str, bytes]:
            is_lost = ray.get_runtime_context().get_node_id() == lost_id
            if is_lost:
                at_work.write_text(str(row["index"]))
            wait_for(tmp_path / "never" if is_lost else at_work)
            return super().__call__(row)

    class Losing(Failures):
        def made(self, shard: Any) -> None:
            nonlocal lost_node
            if lost_node is not None:
                cluster.remove_node(lost_node, allow_graceful=False)
                lost_node = None

    monkeypatch.setattr("genx_runtimes.generate.on_ray.ShardActor", Stuck)
    watch = Losing()
    generate(
        make_plan(tmp_path / "made"),
        runner=find_runner("ray"),
        options=RunOptions(workers=3),
        watch=watch,
    )
    assert lost_node is None
    assert watch.told == [(int(at_work.read_text()), 1)]
    assert read_hashes(tmp_path / "made") == expected


def ask_actor(plan: Plan, *, version: str = __version__, home: str = "") -> GenxError:
    from genx_runtimes.generate.on_ray import ShardActor

    actor = ShardActor(msgspec.json.encode(plan), version, home)
    outcome = msgspec.json.decode(actor({"index": 0})["outcome"], type=Outcome)
    assert outcome.failure is not None
    return outcome.failure.error()


def test_a_node_without_the_folder_says_so(tmp_path: Path) -> None:
    told = str(ask_actor(make_plan(tmp_path / "elsewhere")))
    assert told.startswith("on node ")
    assert f"there is no folder {tmp_path / 'elsewhere' / 'data'}" in told


def test_a_shard_in_another_folder_of_that_name_is_found_out(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Shard(index=0, path="data/shard-00000.parquet", start=0, count=5, bytes=1, sha256="")
    made = Outcome(index=0, shard=shard)
    monkeypatch.setattr("genx_runtimes.generate.on_ray._make", lambda *_: (o for o in [made]))
    with pytest.raises(OutputError, match="shard 0 was written to another"):
        list(find_runner("ray")(make_plan(tmp_path), [0], RunOptions()))


def test_a_node_without_the_bundle_says_so(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(make_plan(tmp_path), bundle="/elsewhere/tiny.genx")
    assert "the bundle /elsewhere/tiny.genx is not there" in str(ask_actor(plan))


def test_a_node_with_another_genx_says_so(tmp_path: Path) -> None:
    told = str(ask_actor(make_plan(tmp_path), version="0.0.1"))
    assert f"genx is {__version__} where shards are made, 0.0.1 where they are asked for" in told
