"""Opening a bundle."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from genx_runtimes.backends import open_session
from genx_runtimes.encoder_spec import find_encoder
from genx_runtimes.encoding import Encoder
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import FileRef, Manifest, VariantSpec, decode_manifest
from genx_runtimes.sampler import Sampler
from genx_runtimes.session import Array, GraphOrigin, Session, SessionOptions
from genx_runtimes.storage import (
    Storage,
    open_storage,
    read_arrays,
    read_checked,
    read_manifest_bytes,
)

if TYPE_CHECKING:
    from genx_runtimes.translate import Translator

AUTO = "auto"


class Bundle:
    """An opened bundle; files are read, and checked, when they are needed.

    Attributes:
        path: where it lies.
        manifest: what it says of itself.
        manifest_bytes: the same, as its file has it.
        digest: SHA-256 of the manifest, which holds the hash of every file: the bundle's identity.
    """

    def __init__(self, path: Path, storage: Storage) -> None:
        self.path = path
        self._storage = storage
        self.manifest_bytes = read_manifest_bytes(storage)
        self.manifest: Manifest = decode_manifest(self.manifest_bytes)
        self.digest = hashlib.sha256(self.manifest_bytes).hexdigest()

    def variant(self, precision: str | None = None) -> VariantSpec:
        """Return the variant of that name, or the first one.

        Raises:
            InputError: there is none of that name.
        """
        variants = self.manifest.variants
        if precision is None:
            return variants[0]
        for variant in variants:
            if variant.name == precision:
                return variant
        raise InputError(
            f"the bundle has no precision {precision!r}",
            fix=suggest(precision, [v.name for v in variants]),
        )

    def sampler(
        self,
        *,
        backend: str = "onnxruntime",
        precision: str | None = None,
        options: SessionOptions | None = None,
        batch: int | None = None,
    ) -> Sampler:
        """Load what sampling needs.

        Args:
            backend: a name in `genx_runtimes.backends.BACKENDS`, NAME:DEVICE such as
                "onnxruntime:cuda", or "auto": the fastest measured combination of engine, variant
                and threads, see docs/tune.md.
            precision: a variant's name; None takes the first, or with "auto" the fastest.
            options: threads, spinning, whether falling back to another device is allowed.
            batch: samples a call that the engine is set up for; None takes any alike, and "auto"
                the smallest.

        Raises:
            InputError: unknown backend or precision.
            IntegrityError: a file of the bundle is missing or altered.
            BackendError: the engine is not there or refuses the graph.
        """
        settings = replace(options or SessionOptions(), batch=batch)
        if backend == AUTO:
            backend, precision, settings = self._settle(precision, settings)
        sessions: dict[str, Session] = {}
        try:
            for name in self.manifest.sampler.components:
                sessions[name] = self.session(
                    name, backend=backend, precision=precision, options=settings, batch=batch
                )
        except BaseException:
            for session in sessions.values():
                session.close()
            raise
        return Sampler(self.manifest, sessions)

    def translator(
        self,
        *,
        backend: str = "onnxruntime",
        precision: str | None = None,
        options: SessionOptions | None = None,
        batch: int | None = None,
    ) -> Translator:
        """Load what translating pictures needs; arguments and errors as for `sampler`.

        Raises:
            InputError: the bundle does not translate pictures.
        """
        from genx_runtimes.translate import Translator, check_translates

        component = check_translates(self.manifest).component
        session = self.session(
            component, backend=backend, precision=precision, options=options, batch=batch
        )
        try:
            return Translator(self.manifest, session, batch=batch)
        except BaseException:
            session.close()
            raise

    def encoder(
        self,
        *,
        backend: str = "onnxruntime",
        precision: str | None = None,
        options: SessionOptions | None = None,
        batch: int | None = None,
    ) -> Encoder:
        """Load the encoder of a variational autoencoder; arguments and errors as for `sampler`.

        Raises:
            InputError: the bundle has no encoder.
        """
        spec = find_encoder(self.manifest)
        session = self.session(
            spec.component, backend=backend, precision=precision, options=options, batch=batch
        )
        return Encoder(spec, session)

    def session(
        self,
        component: str,
        *,
        backend: str = "onnxruntime",
        precision: str | None = None,
        options: SessionOptions | None = None,
        batch: int | None = None,
    ) -> Session:
        """Load one component's graph; arguments and errors as for `sampler`."""
        settings = replace(options or SessionOptions(), batch=batch)
        if backend == AUTO:
            backend, precision, settings = self._settle(precision, settings)
        names = [c.name for c in self.manifest.components]
        if component not in names:
            raise InputError(f"unknown component {component!r}", fix=suggest(component, names))
        model = self.read_graph(component, precision)
        spec = self.manifest.component(component)
        settings = replace(settings, origin=self.origin(component, precision))
        return open_session(model, spec, backend=backend, options=settings)

    def _settle(
        self, precision: str | None, settings: SessionOptions
    ) -> tuple[str, str, SessionOptions]:
        """Return the fastest backend and variant here, and the settings with its threads."""
        from genx_runtimes.tuning import settle

        best = settle(
            self,
            batch=settings.batch or self.manifest.batch.min,
            precision=precision,
            threads=settings.threads,
        ).best
        return best.backend, best.variant, replace(settings, threads=best.threads)

    def origin(self, component: str, precision: str | None = None) -> GraphOrigin:
        """Return what backends that compile a graph want to know of it."""
        variant = self.variant(precision)

        def check(session: Session) -> float:
            from genx_runtimes.verify import verify_component

            return verify_component(self, session, component, variant)

        return GraphOrigin(
            variant=variant.name,
            precision=variant.precision,
            folder=self.path if self.path.is_dir() else None,
            bounds=self.manifest.batch,
            check=check,
        )

    def read_graph(self, component: str, precision: str | None = None) -> bytes:
        """Return a component's checked ONNX file."""
        return read_checked(self._storage, self.variant(precision).graphs[component])

    def read_file(self, ref: FileRef) -> bytes:
        """Return a file that the manifest names, its size and hash compared."""
        return read_checked(self._storage, ref)

    def check_files(self) -> None:
        """Read every file that the manifest names and compare sizes and hashes.

        Raises:
            IntegrityError: one is missing or altered; the message names it.
        """
        for variant in self.manifest.variants:
            for ref in variant.graphs.values():
                read_checked(self._storage, ref)
        self.golden()

    def golden(self) -> dict[str, Array]:
        """Return the golden arrays, `COMPONENT/in/NAME`, `COMPONENT/out/NAME` and the loop's.

        Raises:
            IntegrityError: the file is missing or altered, or lacks an array, or one has another
                shape or dtype than the manifest says.
        """
        from genx_runtimes.golden_checks import check_golden

        ref = self.manifest.golden.file
        arrays = read_arrays(read_checked(self._storage, ref), ref.path)
        check_golden(arrays, self.manifest, ref.path)
        return arrays


def open_bundle(path: str | PathLike[str]) -> Bundle:
    """Open a bundle, a directory or a zip file.

    Raises:
        BundleError: there is none, or its manifest cannot be used.
    """
    target = Path(path)
    return Bundle(target, open_storage(target))
