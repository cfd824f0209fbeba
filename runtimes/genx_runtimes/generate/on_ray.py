"""Shards made by an actor pool of Ray Data, on this machine or on a cluster.

Each actor has one `ShardMaker`, which stays warm, and is handed one shard at a time. Ray starts an
actor that died again, where there is room, but does not repeat what it was at: a shard that kills
its process would be repeated for ever, and one whose node is gone would wait for a place that may
never be free again. It counts as failed, and `generate` hands it out again to those that are left.

Source: Ray's documentation, "Data: Configuration", "Core: Actor fault tolerance".
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import ray
import ray.data

from genx_runtimes.backends import split_backend
from genx_runtimes.errors import (
    BackendError,
    BackendUnavailableError,
    BundleError,
    GenxError,
    OutputError,
)
from genx_runtimes.generate.plan import Plan
from genx_runtimes.generate.ray_cluster import count_places, join_cluster, quieten
from genx_runtimes.generate.record import Failure, Outcome
from genx_runtimes.generate.runners import Outcomes, RunOptions
from genx_runtimes.generate.shard import ShardMaker
from genx_runtimes.version import __version__

_NVIDIA = ("cuda", "tensorrt", "tensorrt-rtx")  # of the onnxruntime backend


def run_on_ray(plan: Plan, indices: Sequence[int], options: RunOptions) -> Outcomes:
    """Make shards in Ray actors, in `options.workers` of them or as many as the cluster has room.

    `options.address` is that of a cluster, or "auto"; None is what RAY_ADDRESS says, and where that
    is not set a Ray of its own on this machine, which ends with the last shard. See `runners`.

    Raises:
        InputError: there is no cluster at the address.
        OutputError: a shard was written to another folder of that name.
        BackendError: Ray failed.
    """
    needs = choose_resources(plan)
    waiting = set(indices)
    with join_cluster(options, needs), quieten():
        try:
            places = count_places(needs, options)
            workers = min(options.workers or places, len(indices))
            with closing(_make(plan, indices, workers, needs)) as outcomes:
                for outcome in outcomes:
                    _check_place(plan, outcome)
                    waiting.discard(outcome.index)
                    yield outcome
        except (ray.exceptions.RayError, ConnectionError, TimeoutError) as err:
            raise _explain(err) from err
        for index in sorted(waiting):
            lost = BackendError(f"the Ray worker that made shard {index} died")
            yield Outcome(index=index, failure=Failure.of(lost))


def choose_resources(plan: Plan) -> dict[str, float]:
    """Return what an actor takes of Ray's resources: a CPU a thread, a GPU for an NVIDIA one."""
    backend, device = split_backend(plan.settings.backend)
    needs: dict[str, float] = {"CPU": plan.settings.threads}
    if backend.needs_gpu or device in _NVIDIA:
        needs["GPU"] = 1
    return needs


def _make(plan: Plan, indices: Sequence[int], workers: int, needs: dict[str, float]) -> Outcomes:
    """Yield what became of each shard whose actor lived to tell it, in no order."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a shard takes as long as it takes
    context.max_errored_blocks = -1  # a lost shard does not end the others
    with ray.data.DataContext.current(context):
        shards = ray.data.from_items(
            [{"index": index} for index in indices], override_num_blocks=len(indices)
        )
        with warnings.catch_warnings():
            # The last two have no other place than Ray's options, which 2.64 shall no longer take.
            warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
            made = shards.map(
                ShardActor,
                fn_constructor_args=(msgspec.json.encode(plan), __version__, _name_node()),
                compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
                num_cpus=needs["CPU"],
                num_gpus=needs.get("GPU"),
                max_restarts=-1,
                max_task_retries=0,
            )
    # What is fetched ahead, which iter_rows does, is told one shard late.
    for table in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for outcome in table.column("outcome").to_pylist():
            yield msgspec.json.decode(outcome, type=Outcome)


class ShardActor:
    """Makes shards with one session, in a process of Ray's.

    Args:
        plan: as JSON.
        version: of the driver's genx.
        home: the driver's node; failures on another tell where they were.
    """

    def __init__(self, plan: bytes, version: str, home: str) -> None:
        self._plan, self._version, self._home = plan, version, home
        self._maker: ShardMaker | None = None

    def __call__(self, row: dict[str, int]) -> dict[str, bytes]:
        """Make the shard of a row's index; give what became of it, as JSON."""
        index = int(row["index"])
        try:
            if self._maker is None:
                self._maker = self._open()
        except Exception as err:  # a disk may raise anything
            outcome = Outcome(index=index, failure=Failure.of(err))
        else:
            outcome = self._maker.attempt(index)
        return {"outcome": msgspec.json.encode(self._place(outcome))}

    def _open(self) -> ShardMaker:
        if self._version != __version__:  # whose plan may be another, too
            raise BackendUnavailableError(
                f"genx is {__version__} where shards are made, {self._version} where they are "
                f"asked for",
                fix="install the same genx on every node",
            )
        plan = msgspec.json.decode(self._plan, type=Plan)
        if not Path(plan.bundle).exists():
            raise BundleError(
                f"the bundle {plan.bundle} is not there",
                fix="put it where all nodes see it under the same path",
            )
        return ShardMaker(plan)

    def _place(self, outcome: Outcome) -> Outcome:
        """Say in a failure on which node it was, unless that is the driver's."""
        node, failure = _name_node(), outcome.failure
        if failure is None or node == self._home:
            return outcome
        told = msgspec.structs.replace(failure, message=f"on node {node}: {failure.message}")
        return msgspec.structs.replace(outcome, failure=told)


def _check_place(plan: Plan, outcome: Outcome) -> None:
    """Raise OutputError unless a shard that was made is there."""
    if outcome.shard is not None and not plan.path(outcome.index).exists():
        raise OutputError(
            f"shard {outcome.index} was written to another {plan.folder} than the driver's",
            fix="choose a folder with -o that all nodes share",
        )


def _name_node() -> str:
    return str(ray.util.get_node_ip_address())


def _explain(err: Exception) -> GenxError:
    """Return the error of a pool that could not go on."""
    text = " ".join(str(err).split())
    if "ModuleNotFoundError" in text or "No module named" in text:
        return BackendUnavailableError(
            "a node of the Ray cluster has no genx, or not all of it",
            fix="pip install 'genx[ray]' with the same extras on every node",
        )
    return BackendError(f"Ray failed: {type(err).__name__}: {text[:300]}")
