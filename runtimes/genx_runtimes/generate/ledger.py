"""`dataset.json`: which shards are finished, and what all of them are made with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError, OutputError
from genx_runtimes.generate.lock import LOCK, lock_folder
from genx_runtimes.generate.plan import FOLDER, Plan, Settings
from genx_runtimes.generate.publishing import measure, publish, sweep
from genx_runtimes.generate.record import Dataset, Failure, Shard, Skipped
from genx_runtimes.writing import explain_os_error, remove

LEDGER = "dataset.json"


class Ledger:
    """What is known of a data set while it is made; all of it is in `dataset.json`.

    Args:
        plan: of the data set.
        dataset: what is known so far.
    """

    def __init__(self, plan: Plan, dataset: Dataset) -> None:
        self._plan = plan
        self._dataset = dataset
        self._shards = {shard.index: shard for shard in dataset.shards}

    @property
    def dataset(self) -> Dataset:
        """What is known so far."""
        return self._dataset

    def list_missing(self) -> list[int]:
        """Return the indices of the shards that are not finished."""
        return [index for index in range(self._plan.count) if index not in self._shards]

    def add(self, shard: Shard) -> None:
        """Note a finished shard.

        Raises:
            OutputError: the ledger cannot be written; the one that is there stays.
        """
        self._shards[shard.index] = shard
        self.save()

    def save(self, failures: Iterable[tuple[int, Failure]] = ()) -> None:
        """Write the ledger, with what was given up in this run.

        Raises:
            OutputError: it cannot be written; the one that is there stays.
        """
        skipped = []
        for index, failure in sorted(failures, key=lambda pair: pair[0]):
            span = self._plan.span(index)
            reason = failure.message
            skipped.append(Skipped(index=index, start=span.start, count=len(span), reason=reason))
        self._dataset = msgspec.structs.replace(
            self._dataset,
            complete=len(self._shards) == self._plan.count,
            shards=tuple(shard for _, shard in sorted(self._shards.items())),
            failed=tuple(skipped),
        )
        with publish(Path(self._plan.folder, LEDGER)) as temporary:
            temporary.write_bytes(_encode(self._dataset))


@contextmanager
def open_ledger(
    plan: Plan, name: str, *, check: Callable[[int, int], None] = lambda *_: None
) -> Iterator[Ledger]:
    """Begin a data set, or go on with one: what is finished and whole is kept, the rest is not.

    Args:
        plan: of the data set.
        name: of the bundle.
        check: called with how many shards have been read again, and of how many.

    Raises:
        InputError: the folder holds something else, or a data set of other settings, or another
            process is at work in it.
        OutputError: it cannot be written.
    """
    folder = Path(plan.folder)
    with ExitStack() as held:
        try:
            _make(folder)
            held.enter_context(lock_folder(folder))
            known = _read(folder)
            if known is not None:
                _compare(known.settings, plan.settings, folder)
                known = msgspec.structs.replace(known, shards=tuple(_keep(plan, known, check)))
            (folder / FOLDER).mkdir(exist_ok=True)
            _sweep_all(folder)
            ledger = Ledger(plan, known or Dataset(name=name, settings=plan.settings))
            ledger.save()
            for index in ledger.list_missing() if known else ():  # broken, or made and not noted
                remove(plan.path(index))
        except OSError as err:
            raise explain_os_error(err, folder) from err
        try:
            yield ledger
        finally:
            with suppress(OSError):  # the next run sweeps, too
                _sweep_all(folder)


def read_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Return what a data set says of itself.

    Raises:
        InputError: there is none, or it was written by a newer genx, or is damaged.
    """
    found = _read(Path(folder))
    if found is None:
        raise InputError(f"there is no {LEDGER} in {folder}")
    return found


def _make(folder: Path) -> None:
    """Make the folder; refuse one that holds something else than a data set."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file", fix="choose another folder with -o")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / LEDGER).exists():
        others = [p.name for p in folder.iterdir() if not p.name.startswith(f".{LEDGER}.")]
        if set(others) - {LOCK}:
            raise InputError(
                f"{folder} holds {sorted(others)[0]}, and no data set",
                fix="choose a new folder with -o",
            )


def _sweep_all(folder: Path) -> None:
    sweep(folder)
    sweep(folder / FOLDER)


def _read(folder: Path) -> Dataset | None:
    try:
        data = (folder / LEDGER).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=Dataset)
    except msgspec.MsgspecError as err:
        raise InputError(
            f"{folder / LEDGER} is not a data set of this genx: {err}",
            fix="choose another folder with -o",
        ) from err


def _compare(known: Settings, wanted: Settings, folder: Path) -> None:
    """Raise InputError unless a data set is made with these settings; name what differs."""
    told = []
    for field in known.__struct_fields__:
        had, got = getattr(known, field), getattr(wanted, field)
        if had != got:
            if field == "bundle":
                told.append(f"the bundle's hash is {got[:12]}..., it was {had[:12]}...")
            else:
                told.append(f"{field.replace('_', ' ')} is {_show(got)}, it was {_show(had)}")
    if told:
        raise InputError(
            f"{folder} was begun with other settings: {'; '.join(told)}",
            fix="give the same ones, or choose another folder with -o",
        )


def _show(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _keep(plan: Plan, known: Dataset, check: Callable[[int, int], None]) -> Iterator[Shard]:
    """Yield the shards that are as they were when they were finished."""

    def is_whole(shard: Shard) -> bool:
        path = plan.path(shard.index)
        try:
            return tuple(measure(path)) == (shard.bytes, shard.sha256)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as err:
            raise OutputError(
                f"cannot read {path}: {err.strerror or err}", fix="remove it to have it made again"
            ) from err

    with ThreadPoolExecutor(count_usable_cores()) as pool:
        checked = pool.map(is_whole, known.shards)
        for done, (shard, whole) in enumerate(zip(known.shards, checked, strict=True), 1):
            check(done, len(known.shards))
            if whole:
                yield shard


def _encode(dataset: Dataset) -> bytes:
    return msgspec.json.format(msgspec.json.encode(dataset), indent=2) + b"\n"
