"""The seam between genx and an inference engine.

A backend is one file in `backends/` with a class that satisfies `Session`; it maps the vendor's
errors to the tree in `errors.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.manifest import BatchBounds, ComponentSpec, TensorSpec

if TYPE_CHECKING:
    from typing_extensions import Self

Array = NDArray[np.generic]


def warn(text: str) -> None:
    """Log a warning; logging is imported then, not by every start."""
    import logging

    logging.getLogger("genx").warning("%s", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOrigin:
    """Where a graph comes from, for backends that compile it and keep what they made.

    Args:
        variant: of the bundle.
        precision: of that variant.
        folder: the bundle, where it is a folder.
        bounds: batch sizes that the bundle allows.
        check: compares a session with the golden samples: the largest error over the output range,
            or raises VerificationError.
    """

    variant: str
    precision: str = "fp32"
    folder: Path | None = None
    bounds: BatchBounds | None = None
    check: Callable[[Session], float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How an engine runs.

    Args:
        threads: worker threads; None takes the cores this process may really use.
        spinning: whether idle threads busy-wait; False gives the cores to others between calls.
        providers: onnxruntime execution providers in order; each must load, none falls back.
        mode: what OpenVINO is set up for: short answers, or many of them at a time.
        cache: whether OpenVINO keeps compiled graphs in the user's cache folder.
        batch: the batch size that will be run most: OpenVINO compiles a graph for it alone, and
            another one for all others when one of these comes; TensorRT takes the engine that is
            tuned closest to it.
        device: the device of NAME:DEVICE; set by `open_session`, None is the engine's default.
        allow_fallback: whether what the device cannot run may run elsewhere; `tell` says what did.
        tell: called with what a user must know, a line each; logged as a warning by default.
        cuda_graphs: whether TensorRT's repeated work is replayed as one CUDA graph.
        profile: whether the engine times each node for `read_node_times`, which slows it down.
        origin: where the graph comes from; set by the bundle.
    """

    threads: int | None = None
    spinning: bool = True
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    mode: Literal["latency", "throughput"] = "latency"
    cache: bool = False
    batch: int | None = None
    device: str | None = None
    allow_fallback: bool = False
    tell: Callable[[str], None] = warn
    cuda_graphs: bool = True
    profile: bool = False
    origin: GraphOrigin | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads is {self.threads}, expected 1 or more")


class Session(Protocol):
    """One graph, loaded and ready to run."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once.

        Args:
            feeds: an array for every input, (B, ...) with the same B, of the input's dtype.

        Raises:
            InputError: a name, dtype or shape does not fit.
            BackendError: the engine failed.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; the session cannot run afterwards."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Closing:
    """What a `with` block closes when it ends, however it ends."""

    def close(self) -> None:
        """Free what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class WrappedSession(Closing):
    """A session in front of another one; what is to be added to each run goes into `run`.

    Args:
        session: that runs.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        return self._session.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once, see `Session.run`."""
        return self._session.run(feeds)

    def close(self) -> None:
        """Free what the engine holds."""
        self._session.close()

    def __getattr__(self, name: str) -> object:
        """Return what only some engines have, such as their bounds; none runs but through `run`."""
        if name == "run_batches":
            raise AttributeError(name)
        return getattr(self._session, name)


def run_batches(
    session: Session, batches: Iterable[Mapping[str, Array]]
) -> Iterator[dict[str, Array]]:
    """Run a graph on one batch after another; engines that can feed one while another computes do.

    Args:
        session: a session, with a method `run_batches` if it can do better than one by one.
        batches: feeds as for `Session.run`.
    """
    ahead = getattr(session, "run_batches", None)
    return map(session.run, batches) if ahead is None else ahead(batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """What a node of a graph took, as the engine's own profiler tells it.

    Args:
        name: in the engine's words, which fuses nodes and renames them.
        kind: the operator.
        dtype: what it computes in: `fp32`, `fp16`, `bf16` or `int8`; empty where it is not told.
        ms: over all calls that were asked for.
        origins: the nodes of the graph that it was made from, each by its name or its output's, as
            far as the engine tells.
    """

    name: str
    kind: str
    dtype: str
    ms: float
    origins: tuple[str, ...] = ()


def read_node_times(session: Session, skip: int) -> tuple[NodeTime, ...]:
    """Return what each node took over all calls after the first `skip`, in the order of the graph.

    It is asked once, after the last call.

    Args:
        session: opened with `SessionOptions.profile`, with a method `node_times` if it can do this.
        skip: calls that warmed it up.

    Raises:
        BackendError: the engine, or its device, does not tell.
    """
    times = getattr(session, "node_times", None)
    if times is None:
        raise BackendError("this backend does not tell what each node took")
    return cast("tuple[NodeTime, ...]", times(skip))


def add_times(times: Iterable[NodeTime]) -> tuple[NodeTime, ...]:
    """Return one entry for each node, with the sum of its times, in the order of their first."""
    sums: dict[tuple[str, str, str], NodeTime] = {}
    for time in times:
        key = (time.name, time.kind, time.dtype)
        before = sums[key].ms if key in sums else 0.0
        sums[key] = replace(time, ms=before + time.ms)
    return tuple(sums.values())


def check_feeds(component: ComponentSpec, feeds: Mapping[str, Array]) -> int:
    """Return the batch size of `feeds`, or say which array does not fit the component.

    Raises:
        InputError: missing or unknown name, wrong dtype, wrong shape, unequal batch sizes.
    """
    batch = -1
    for spec in component.inputs:
        array = feeds.get(spec.name)
        if array is None:
            raise InputError(f"component {component.name!r} needs the input {spec.name!r}")
        if _name_dtype(array.dtype) != spec.dtype:
            got = _name_dtype(array.dtype)
            raise InputError(f"input {spec.name!r} has dtype {got}, expected {spec.dtype}")
        if not array.ndim or array.shape[1:] != spec.shape[1:]:
            expected = ", ".join(str(d) for d in spec.shape)
            raise InputError(f"input {spec.name!r} has shape {array.shape}, expected ({expected})")
        if batch not in (-1, array.shape[0]):
            raise InputError(f"inputs have different batch sizes: {batch} and {array.shape[0]}")
        batch = array.shape[0]
    if len(feeds) != len(component.inputs):
        extra = sorted(set(feeds) - {spec.name for spec in component.inputs})
        raise InputError(f"component {component.name!r} has no input called {extra[0]!r}")
    return batch


@lru_cache
def _name_dtype(dtype: np.dtype[np.generic]) -> str:
    """Return numpy's name, which is slow to make; a foreign byte order has none that fits."""
    return dtype.name if dtype.isnative else dtype.str
