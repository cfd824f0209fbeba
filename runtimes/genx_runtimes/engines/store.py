"""Where engines lie, and how they get there and out again without being trusted.

An engine `TARGET/VARIANT/COMPONENT-KEY.engine` has its sidecar beside it, which is written last:
what a killed build leaves has none and is not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from genx_runtimes.cache import cache_folder
from genx_runtimes.engines.sidecar import (
    EngineKey,
    Environment,
    Sidecar,
    decode_sidecar,
    list_differences,
)
from genx_runtimes.errors import BackendUnavailableError, GenxError, IntegrityError
from genx_runtimes.writing import explain_os_error, write_whole

_SUFFIX = ".engine"


class Engine(NamedTuple):
    """An engine whose size and hash are those of its sidecar."""

    path: Path
    sidecar: Sidecar
    data: bytes


class Search(NamedTuple):
    """The engine that fits, or why those that there are do not."""

    engine: Engine | None
    rejected: tuple[str, ...]


def name_engine(folder: Path, key: EngineKey, variant: str, component: str) -> Path:
    """Return where the engine of a key lies."""
    name = f"{component}-{key.digest[:16]}{_SUFFIX}"
    return folder / key.settings.target / variant / name


def write_engine(path: Path, sidecar: Sidecar, plan: bytes) -> None:
    """Write an engine, then its sidecar.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise explain_os_error(err, path.parent) from err
    _sidecar(path).unlink(missing_ok=True)
    with write_whole(path) as file:
        file.write(plan)
    with write_whole(_sidecar(path)) as file:
        file.write(msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")


def read_engine(path: Path) -> Engine:
    """Return an engine and its sidecar, compared with each other.

    Raises:
        IntegrityError: one of them is missing, truncated or altered; the message says which.
    """
    sidecar = read_sidecar(path)
    try:
        data = path.read_bytes()
    except OSError as err:
        raise IntegrityError(f"{path} cannot be read: {err.strerror}") from err
    if len(data) != sidecar.bytes:
        raise IntegrityError(f"{path.name} has {len(data)} bytes, expected {sidecar.bytes}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != sidecar.sha256:
        raise IntegrityError(
            f"{path.name} was altered: sha256 is {digest[:12]}..., expected "
            f"{sidecar.sha256[:12]}..."
        )
    return Engine(path, sidecar, data)


def read_sidecar(path: Path) -> Sidecar:
    """Return what stands beside an engine.

    Raises:
        IntegrityError: it is missing, damaged or altered.
    """
    beside = _sidecar(path)
    try:
        sidecar = decode_sidecar(beside.read_bytes(), beside.name)
    except OSError as err:
        raise IntegrityError(f"{beside} cannot be read: {err.strerror}") from err
    if not path.name.endswith(f"-{sidecar.key.digest[:16]}{_SUFFIX}"):
        raise IntegrityError(f"{beside.name} was altered: its key is not the one in its name")
    return sidecar


class Wanted(NamedTuple):
    """What an engine is looked for.

    Args:
        target: a name in `flavours.TARGETS`.
        variant: of the bundle.
        component: of the bundle.
        onnx_sha256: of the graph.
        batch: the batch size that will be run most; None takes any.
        dla: the deep-learning accelerator to run on; None is the GPU.
    """

    target: str
    variant: str
    component: str
    onnx_sha256: str
    batch: int | None = None
    dla: int | None = None


def cache_engines(onnx_sha256: str) -> Path:
    """Return the folder of the user's cache for engines of one graph.

    Raises:
        OutputError: it cannot be made.
    """
    return cache_folder(f"engines/{onnx_sha256[:32]}")


def find_engine(folders: Sequence[Path], wanted: Wanted, here: Environment) -> Search:
    """Look for an engine that is valid here; of several, the one tuned closest to the batch.

    Args:
        folders: looked through in this order.
        wanted: what for.
        here: where it is to run.
    """
    rejected: list[str] = []
    fitting: list[tuple[Path, Sidecar]] = []
    for folder in folders:
        for path in list_engines(folder / wanted.target / wanted.variant):
            if path.name.rpartition("-")[0] != wanted.component:
                continue
            try:
                sidecar = read_sidecar(path)
                reasons = _list_reasons(path, sidecar, wanted, here)
            except GenxError as err:
                reasons = [err.message]
            if reasons:
                rejected.append(f"{path.name}: {'; '.join(reasons)}")
            else:
                fitting.append((path, sidecar))
    for path, _ in sorted(fitting, key=lambda found: _rank(found[1], wanted.batch)):
        try:
            return Search(read_engine(path), tuple(rejected))
        except GenxError as err:
            rejected.append(err.message)
    return Search(None, tuple(rejected))


def _list_reasons(path: Path, sidecar: Sidecar, wanted: Wanted, here: Environment) -> list[str]:
    """Say why an engine is not taken; empty if it is."""
    reasons = list_differences(sidecar, wanted.onnx_sha256, here)
    settings = sidecar.key.settings
    sizes = settings.batch
    if wanted.batch is not None and not sizes.min <= wanted.batch <= sizes.max:
        reasons.append(f"it takes batches of {sizes.min} to {sizes.max}, not {wanted.batch}")
    if settings.dla != wanted.dla:
        runs, asked = ("the GPU" if d is None else f"DLA {d}" for d in (settings.dla, wanted.dla))
        reasons.append(f"it runs on {runs}, not {asked}")
    if settings.version_compatible and not _is_own(path):
        reasons.append("it carries code for the CPU, which is run from the user's cache alone")
    return reasons


def _is_own(path: Path) -> bool:
    """Whether an engine lies in the user's cache: it was built here, not brought by a bundle."""
    return path.resolve().is_relative_to(cache_folder("engines").resolve())


def list_engines(folder: Path) -> list[Path]:
    """Return the engines in a folder and those in it that have a sidecar."""
    return [p for p in sorted(folder.rglob(f"*{_SUFFIX}")) if _sidecar(p).exists()]


@contextmanager
def lock_engine(path: Path) -> Iterator[None]:
    """Hold the right to build an engine; another process waits here until it is built.

    The lock lies in the user's cache, not beside the engine: bundles hold no lock files.

    Raises:
        BackendUnavailableError: the package filelock is missing.
        OutputError: the folder cannot be written to.
    """
    try:
        from filelock import FileLock
    except ImportError as err:
        raise BackendUnavailableError(
            "building engines needs the package filelock", fix="pip install filelock"
        ) from err
    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:32]
    lock = FileLock(cache_folder("locks") / f"{name}.lock")
    try:
        lock.acquire()
    except OSError as err:
        raise explain_os_error(err, Path(lock.lock_file)) from err
    try:
        yield
    finally:
        lock.release()


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _rank(sidecar: Sidecar, batch: int | None) -> tuple[int, int]:
    """Order engines: tuned closest to the batch, then with the widest range."""
    sizes = sidecar.key.settings.batch
    return 0 if batch is None else abs(sizes.opt - batch), sizes.min - sizes.max
