"""What was found is kept in the user's cache, by bundle, machine and what was asked.

A file of another format, of another genx or damaged is as if it were not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import msgspec

from genx_runtimes.bundle import Bundle
from genx_runtimes.cache import cache_folder
from genx_runtimes.errors import OutputError
from genx_runtimes.progress import Progress
from genx_runtimes.tuning.engines import describe_machine
from genx_runtimes.tuning.record import Tuning
from genx_runtimes.tuning.request import Goal, Request
from genx_runtimes.tuning.search import search
from genx_runtimes.writing import write_whole

_FOLDER = "tuning"
# Nobody asked `--backend auto` for a long search.
_AUTO_BUDGET_S = 30.0


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """Tunings of one bundle, goal and batch sizes, each for another machine or restriction."""

    format: Literal["genx-tuning"] = "genx-tuning"
    format_version: Literal[2] = 2
    tunings: tuple[Tuning, ...]


def tune(
    bundle: Bundle,
    request: Request,
    *,
    again: bool = False,
    limit_s: float | None = None,
    progress: Progress = lambda _: None,
) -> Tuning:
    """Return what is fastest here: what was found before for the same request, or is found now.

    A search that its budget cut short does not answer a longer one. What was interrupted is
    returned and not kept.

    Args:
        bundle: what to run.
        request: what is searched, and within which bounds.
        again: search even if it was done before.
        limit_s: seconds that the search may take, where that is another time than was asked for.
        progress: told what comes next.

    Raises:
        InputError: a variant that the bundle does not have.
        OutputError: the cache cannot be written.
    """
    bundle.variant(request.precision)
    path = _locate(bundle, request)
    known = _find(path, request)
    if known is not None and not again and _answers(known, request):
        return msgspec.structs.replace(known, remembered=True)
    allowed = replace(request, budget_s=request.budget_s if limit_s is None else limit_s)
    made = msgspec.structs.replace(
        search(bundle, allowed, progress=progress),
        budget_s=request.budget_s,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    if made.complete:
        others = [t for t in _read(path) if _key(t) != (*_restrict(request), made.machine)]
        with write_whole(path) as file:
            file.write(msgspec.json.encode(_File(tunings=(*others, made))))
    return made


def tune_each(
    bundle: Bundle,
    request: Request,
    *,
    again: bool = False,
    progress: Progress = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Tuning]:
    """Tune each batch size for latency, sharing the budget; or for throughput all of them at once.

    It ends with the first that was interrupted. Arguments and errors as for `tune`.
    """
    if request.goal == "throughput":
        return [tune(bundle, request, again=again, progress=progress)]
    start, made = clock(), []
    share = request.budget_s / len(request.batches)
    for index, batch in enumerate(request.batches):
        left = max(request.budget_s - (clock() - start), 1.0)
        each = replace(request, batches=(batch,), budget_s=share)
        limit_s = left / (len(request.batches) - index)
        made.append(tune(bundle, each, again=again, limit_s=limit_s, progress=progress))
        if not made[-1].complete:
            break
    return made


def settle(
    bundle: Bundle,
    *,
    batch: int,
    precision: str | None = None,
    threads: int | None = None,
    progress: Progress = lambda _: None,
) -> Tuning:
    """Return what `--backend auto` takes: the shortest latency found last, whatever its bounds.

    Where nothing is known it is searched now.

    Raises:
        InputError: a variant that the bundle does not have.
        OutputError: the cache cannot be written.
        KeyboardInterrupt: the user's; nothing is kept then.
    """
    bundle.variant(precision)
    request = Request(
        batches=(batch,), precision=precision, threads=threads, budget_s=_AUTO_BUDGET_S
    )
    known = _find(_locate(bundle, request), request)
    if known is not None:
        return msgspec.structs.replace(known, remembered=True)
    made = tune(bundle, request, progress=progress)
    if not made.complete:
        raise KeyboardInterrupt
    return made


def recall(
    bundle: Bundle, goal: Goal = "latency", *, precision: str | None = None
) -> tuple[Tuning, ...]:
    """Return what was found here for a goal, for latency what `--backend auto` would take.

    Nothing is measured now. The smallest batch size comes first; what no engine could run is left
    out, and what was restricted to a thread count, or to another variant than `precision`.
    """
    try:
        folder = cache_folder(_FOLDER)
    except OutputError:
        return ()  # nothing can have been kept there
    found = [t for path in folder.glob(f"{bundle.digest[:32]}-{goal}-*") for t in _read(path)]
    wanted = (precision, None, describe_machine())
    kept = [t for t in found if _key(t) == wanted and t.has_run]
    return tuple(sorted(kept, key=lambda t: t.batches))


def _locate(bundle: Bundle, request: Request) -> Path:
    sizes = "_".join(map(str, request.batches))
    return cache_folder(_FOLDER) / f"{bundle.digest[:32]}-{request.goal}-{sizes}.json"


def _find(path: Path, request: Request) -> Tuning | None:
    wanted = (*_restrict(request), describe_machine())
    return next((t for t in _read(path) if _key(t) == wanted), None)


def _read(path: Path) -> tuple[Tuning, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).tunings
    except (msgspec.MsgspecError, OSError):
        return ()


def _restrict(asked: Request | Tuning) -> tuple[str | None, int | None]:
    return asked.precision, asked.threads


def _key(tuning: Tuning) -> tuple[str | None, int | None, str]:
    return (*_restrict(tuning), tuning.machine)


def _answers(known: Tuning, request: Request) -> bool:
    """Whether what is known is what a search would look for, as thoroughly."""
    is_thorough = known.in_time or known.budget_s >= request.budget_s
    return is_thorough and _bounds(known) == _bounds(request)


def _bounds(asked: Request | Tuning) -> tuple[float | None, int | None]:
    return asked.min_psnr_db, asked.max_memory
