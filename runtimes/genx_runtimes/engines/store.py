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
    if not path.name.endswith(f"-{sidecar.key.digest[:16]}{_SUFFIX}"):
        raise IntegrityError(
            f"{_sidecar(path).name} was altered: its key is not the one in its name"
        )
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
        IntegrityError: it is missing or damaged.
    """
    beside = _sidecar(path)
    try:
        return decode_sidecar(beside.read_bytes(), beside.name)
    except OSError as err:
        raise IntegrityError(f"{beside} cannot be read: {err.strerror}") from err


def find_engine(
    folders: Sequence[Path],
    target: str,
    variant: str,
    component: str,
    *,
    onnx_sha256: str,
    here: Environment,
    batch: int | None,
) -> Search:
    """Look for an engine that is valid here.

    Args:
        folders: looked through in this order.
        target: a name in `flavours.TARGETS`.
        variant: of the bundle.
        component: of the bundle.
        onnx_sha256: of the graph.
        here: where it is to run.
        batch: the batch size that will be run most; engines tuned for it come first.
    """
    rejected: list[str] = []
    fitting: list[Engine] = []
    for folder in folders:
        for path in list_engines(folder / target / variant):
            if path.name.rpartition("-")[0] != component:
                continue
            try:
                engine = read_engine(path)
            except GenxError as err:
                rejected.append(err.message)
                continue
            differences = list_differences(engine.sidecar, onnx_sha256, here)
            if differences:
                rejected.append(f"{path.name}: {'; '.join(differences)}")
            else:
                fitting.append(engine)
    if not fitting:
        return Search(None, tuple(rejected))
    return Search(min(fitting, key=lambda e: _rank(e.sidecar, batch)), tuple(rejected))


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
    with FileLock(cache_folder("locks") / f"{name}.lock"):
        yield


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _rank(sidecar: Sidecar, batch: int | None) -> tuple[bool, int, int]:
    """Order engines: those that take the batch, tuned closest to it, with the widest range."""
    sizes = sidecar.key.settings.batch
    if batch is None:
        return False, 0, sizes.min - sizes.max
    return not sizes.min <= batch <= sizes.max, abs(sizes.opt - batch), sizes.min - sizes.max
