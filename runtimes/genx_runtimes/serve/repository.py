"""The bundles of a server by name: loaded when they are asked for, within a bound of memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import BundleError, GenxError, InputError, suggest
from genx_runtimes.serve.jobs import too_late
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.model import ServedModel, load
from genx_runtimes.serve.refusals import NotFoundError, StoppingError, explain
from genx_runtimes.serve.settings import ServeSettings

_log = logging.getLogger("genx.serve")
_CLOSE_S = 5.0
_UNREAD = "unread"  # no digest: what could not be read is tried again as soon as it can be


@dataclass(slots=True, kw_only=True)
class Entry:
    """A bundle of the repository.

    Args:
        bundle: as it was loaded, or opened before.
        model: None while it is not loaded.
        reason: why it is not ready; empty if it is, or will be loaded when it is asked for.
        rejected: the digest of what could not be loaded; not tried again until the file changes.
        wanted: whether a request loads it.
        used: when it was last asked for, as a count.
        loading: what loads it because a request asked for it; it goes on where that gives up.
    """

    bundle: Bundle
    model: ServedModel | None = None
    reason: str = "not loaded yet"
    rejected: str = ""
    wanted: bool = True
    used: int = 0
    loading: asyncio.Task[ServedModel] | None = None


class Repository:
    """All bundles of a server.

    Args:
        bundles: with different names.
        settings: how they are served.
        metrics: told of what is loaded.

    Raises:
        InputError: two have the same name.
    """

    def __init__(
        self, bundles: Sequence[Bundle], settings: ServeSettings, metrics: Metrics
    ) -> None:
        self.settings, self.metrics = settings, metrics
        self.entries: dict[str, Entry] = {}
        self._uses = 0
        self._retired: dict[asyncio.Task[None], ServedModel] = {}
        self._loading = asyncio.Lock()  # one after another, so that memory can be told apart
        self.draining = False
        self._stopping = False
        for bundle in bundles:
            name = bundle.manifest.name
            if name in self.entries:
                raise InputError(
                    f"{bundle.path} and {self.entries[name].bundle.path} are both called {name!r}",
                    fix="export one of them with another --name",
                )
            self.entries[name] = Entry(bundle=bundle)

    def find(self, name: str) -> Entry:
        """Return the entry of a name.

        Raises:
            NotFoundError: there is none.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise NotFoundError(f"unknown model {name!r}", fix=suggest(name, self.entries))
        return entry

    @property
    def ready(self) -> bool:
        """Whether every model that is wanted has been loaded once and the server is not ending."""
        return not self.draining and all(not e.reason for e in self.entries.values() if e.wanted)

    async def load_all(self) -> None:
        """Load all models; what fails is told by its entry's reason."""
        for name in self.entries:
            with suppress(Exception):  # logged
                await self.get(name)

    async def get(self, name: str, *, deadline: float | None = None) -> ServedModel:
        """Return a model, loaded if need be; see `ServedModel.in_use`.

        Args:
            name: of the bundle.
            deadline: on the loop's clock; None waits for as long as loading takes.

        Raises:
            NotFoundError: there is none of that name.
            StoppingError: it was unloaded by request, cannot be loaded, or the server is ending.
            DeadlineError: it is not loaded by then.
        """
        entry = self.find(name)
        self._uses += 1
        entry.used = self._uses
        if entry.model is not None:
            return entry.model
        if entry.loading is None:
            entry.loading = asyncio.create_task(self._load_missing(name, entry))
            entry.loading.add_done_callback(partial(_note_loaded, entry))
        task = entry.loading
        left = None if deadline is None else deadline - asyncio.get_running_loop().time()
        await asyncio.wait({task}, timeout=left)
        if not task.done():
            raise too_late()
        return task.result()

    async def _load_missing(self, name: str, entry: Entry) -> ServedModel:
        async with self._loading:
            self._check(name, entry)
            if entry.model is None:
                await self._load(name, entry)
            assert entry.model is not None
            return entry.model

    def _check(self, name: str, entry: Entry) -> None:
        if self._stopping:
            raise StoppingError("the server is ending", retry_after_s=1)
        if not entry.wanted:
            raise StoppingError(f"model {name!r} is unloaded", fix="load it again")
        if entry.rejected:
            reason = entry.reason or "its changed file cannot be loaded"
            raise StoppingError(f"model {name!r} is not ready: {reason}")

    async def load(self, name: str) -> None:
        """Load a model again from its file, and put it in the place of the old one."""
        entry = self.find(name)
        async with self._loading:
            entry.wanted = True
            await self._load(name, entry)

    async def unload(self, name: str) -> None:
        """Free a model after its requests; it stays so until it is loaded by request."""
        entry = self.find(name)
        async with self._loading:
            entry.wanted, entry.reason = False, "unloaded by request"
            self._drop(name, entry)

    async def watch(self) -> None:
        """Load again what has changed on the disk, for ever; a broken file leaves the old model."""
        told: dict[str, str] = {}
        while True:
            await asyncio.sleep(self.settings.watch_s)
            for name, entry in self.entries.items():
                if not _is_watched(entry):
                    continue
                try:
                    found = await asyncio.to_thread(open_bundle, entry.bundle.path)
                except (GenxError, OSError) as err:  # half copied: the next look will tell
                    if told.get(name) != str(err):
                        _log.warning("the bundle cannot be read: %s", err, extra={"model": name})
                    told[name] = str(err)
                    continue
                told.pop(name, None)
                if _is_news(entry, found.digest):
                    with suppress(Exception):  # logged
                        await self._reload(name, entry, found.digest)

    async def _reload(self, name: str, entry: Entry, digest: str) -> None:
        """Load what has changed, unless it was unloaded or loaded while it was looked at."""
        async with self._loading:
            if _is_watched(entry) and _is_news(entry, digest):
                await self._load(name, entry)

    async def close(self) -> None:
        """Drop what is under way and free all models; what does not end soon is left to itself."""
        self._stopping = True
        ending: set[asyncio.Future[Any]] = set()
        for name, entry in self.entries.items():
            if entry.loading is not None:
                entry.loading.cancel()
                ending.add(entry.loading)
            self._drop(name, entry)
        for model in self._retired.values():
            model.stop()
        ending |= self._retired.keys()
        if ending:
            _, late = await asyncio.wait(ending, timeout=_CLOSE_S)
            if late:
                _log.warning("%d models are still at work and are not freed", len(late))

    async def _load(self, name: str, entry: Entry) -> None:
        """Load what lies at the bundle's path; the old model stays if that fails."""
        digest = _UNREAD
        await self._wait_for_retired()
        try:
            bundle = await asyncio.to_thread(open_bundle, entry.bundle.path)
            digest = bundle.digest
            if bundle.manifest.name != name:
                raise BundleError(f"{bundle.path} is called {bundle.manifest.name!r} now")
            model = await load(bundle, self.settings, self.metrics)
        except Exception as err:
            entry.rejected = digest
            if entry.model is None:
                entry.reason = explain(err)
            fault = None if isinstance(err, GenxError) else err
            _log.error("the model is not loaded: %s", err, extra={"model": name}, exc_info=fault)
            if isinstance(err, GenxError):
                raise StoppingError(f"model {name!r} is not loaded: {explain(err)}") from err
            raise
        old, entry.model, entry.bundle = entry.model, model, bundle
        entry.reason = entry.rejected = ""
        _log.info("model loaded", extra={"model": name})
        self.metrics.loaded.labels(name).set(1)
        model.grown = partial(self._note_size, name, entry, model)
        self._retire(old)
        model.grown()

    def _note_size(self, name: str, entry: Entry, model: ServedModel) -> None:
        """Tell how much a model holds, and make room for it."""
        if entry.model is model:
            self.metrics.model_bytes.labels(name).set(model.held_bytes)
            self._make_room(name)

    def _make_room(self, keep: str) -> None:
        """Unload what was not used for longest until the rest is within the bound.

        A model that could not be loaded again, since its file is broken, stays.
        """
        bound = self.settings.memory_bytes
        if bound is None:
            return
        total = self._count_loaded()
        for name, entry in sorted(self.entries.items(), key=lambda item: item[1].used):
            if total <= bound:
                return
            if entry.model is not None and name != keep and not entry.rejected:
                total -= entry.model.held_bytes
                self._drop(name, entry)

    async def _wait_for_retired(self) -> None:
        """Wait until models that were unloaded leave room: they answer their requests first."""
        bound = self.settings.memory_bytes
        while bound is not None and self._retired:
            retired = sum(model.held_bytes for model in self._retired.values())
            if self._count_loaded() + retired <= bound:
                return
            await asyncio.wait(self._retired, return_when=asyncio.FIRST_COMPLETED)

    def _count_loaded(self) -> int:
        return sum(e.model.held_bytes for e in self.entries.values() if e.model)

    def _drop(self, name: str, entry: Entry) -> None:
        model, entry.model = entry.model, None
        self.metrics.loaded.labels(name).set(0)
        self.metrics.model_bytes.labels(name).set(0)
        self._retire(model)

    def _retire(self, model: ServedModel | None) -> None:
        """Free a model after its requests, in the background."""
        if model is not None:
            task = asyncio.create_task(model.close())
            self._retired[task] = model
            task.add_done_callback(self._retired.pop)


def _is_watched(entry: Entry) -> bool:
    return entry.wanted and (entry.model is not None or bool(entry.rejected))


def _is_news(entry: Entry, digest: str) -> bool:
    return digest != (entry.rejected or entry.bundle.digest)


def _note_loaded(entry: Entry, task: asyncio.Task[ServedModel]) -> None:
    """Forget a task that has loaded a model; an error is told to those who wait, and logged."""
    entry.loading = None
    if not task.cancelled():
        task.exception()
