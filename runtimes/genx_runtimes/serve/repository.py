"""The bundles of a server by name: loaded when they are asked for, within a bound of memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import BundleError, GenxError, InputError, suggest
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.model import ServedModel, load
from genx_runtimes.serve.refusals import NotFoundError, StoppingError, explain
from genx_runtimes.serve.settings import ServeSettings

_log = logging.getLogger("genx.serve")


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
    """

    bundle: Bundle
    model: ServedModel | None = None
    reason: str = "not loaded yet"
    rejected: str = ""
    wanted: bool = True
    used: int = 0


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
        self._closing: set[asyncio.Task[None]] = set()
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

    async def get(self, name: str) -> ServedModel:
        """Return a model, loaded if need be; see `ServedModel.in_use`.

        Raises:
            NotFoundError: there is none of that name.
            StoppingError: it was unloaded by request, cannot be loaded, or the server is ending.
        """
        entry = self.find(name)
        self._uses += 1
        entry.used = self._uses
        if entry.model is None:
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
                if not entry.wanted or (entry.model is None and not entry.rejected):
                    continue
                try:
                    found = await asyncio.to_thread(open_bundle, entry.bundle.path)
                except (GenxError, OSError) as err:  # half copied: the next look will tell
                    if told.get(name) != str(err):
                        _log.warning("the bundle cannot be read: %s", err, extra={"model": name})
                    told[name] = str(err)
                    continue
                told.pop(name, None)
                if found.digest != (entry.rejected or entry.bundle.digest):
                    with suppress(Exception):  # logged
                        await self.load(name)

    async def close(self) -> None:
        """Free all models after their requests."""
        self._stopping = True
        for name, entry in self.entries.items():
            self._drop(name, entry)
        await asyncio.gather(*self._closing)

    async def _load(self, name: str, entry: Entry) -> None:
        """Load what lies at the bundle's path; the old model stays if that fails."""
        digest = entry.bundle.digest
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
        self.metrics.model_bytes.labels(name).set(model.bytes)
        self._retire(old)
        self._make_room(name)

    def _make_room(self, keep: str) -> None:
        """Unload what was not used for longest until the rest is within the bound."""
        bound = self.settings.memory_bytes
        if bound is None:
            return
        loaded = [(e.used, n, e) for n, e in self.entries.items() if e.model and n != keep]
        total = sum(e.model.bytes for e in self.entries.values() if e.model)
        for _, name, entry in sorted(loaded, key=lambda item: item[0]):
            if total <= bound:
                return
            assert entry.model is not None
            total -= entry.model.bytes
            self._drop(name, entry)

    def _drop(self, name: str, entry: Entry) -> None:
        model, entry.model = entry.model, None
        self.metrics.loaded.labels(name).set(0)
        self.metrics.model_bytes.labels(name).set(0)
        self._retire(model)

    def _retire(self, model: ServedModel | None) -> None:
        """Free a model after its requests, in the background."""
        if model is not None:
            task = asyncio.create_task(model.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
