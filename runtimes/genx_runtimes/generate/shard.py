"""Making one shard: the one piece of work that every runner hands out."""

from __future__ import annotations

from pathlib import Path

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import BackendUnavailableError, InputError, OutputError
from genx_runtimes.generate.formats import Format, find_format
from genx_runtimes.generate.layout import Layout
from genx_runtimes.generate.plan import Plan, Settings
from genx_runtimes.generate.publishing import measure, publish
from genx_runtimes.generate.record import Failure, Outcome, Shard
from genx_runtimes.generate.sheet import make_sheet
from genx_runtimes.generate.versions import find_versions
from genx_runtimes.sampler import Sampler
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.session import Closing, SessionOptions


class ShardMaker(Closing):
    """Makes shards of a plan with one session, which is loaded for the first and stays warm.

    A shard's bytes depend on the plan alone, not on who makes it, when, or after which others.

    Args:
        plan: of the data set; its folder is there.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sampler: Sampler | None = None
        self._notes: list[str] = []

    def attempt(self, index: int) -> Outcome:
        """Make a shard; a failure is returned, never raised."""
        self._notes.clear()
        try:
            return Outcome(index=index, shard=self.make(index), notes=tuple(self._notes))
        except Exception as err:  # an engine or a disk may raise anything
            return Outcome(index=index, failure=Failure.of(err))

    def make(self, index: int) -> Shard:
        """Make a shard and return what is to be known of it; one that is there is replaced.

        Raises:
            BundleError: the bundle cannot be used here.
            InputError: it is another one than the plan's.
            BackendUnavailableError: so is the engine or another package, or it is not there.
            BackendError: the engine failed.
            OutputError: the shard cannot be written; nothing is left behind.
        """
        if self._sampler is None:
            self._sampler = self._open()
        settings, span = self._plan.settings, self._plan.span(index)
        batches = self._sampler.sample(
            len(span),
            seed=settings.seed,
            start=span.start,
            batch=settings.batch,
            conditions=settings.conditions,
            truncation=settings.truncation,
            options=SamplingOptions(**settings.options),  # type: ignore[arg-type]
        )
        manifest = self._sampler.manifest
        if index == 0 and manifest.output.kind == "image":
            batches = make_sheet(Path(self._plan.folder), batches)
        form, layout = find_format(settings.format), Layout.of(manifest, settings)
        with publish(self._plan.path(index)) as temporary:
            with form.open_shard(temporary, layout, len(span)) as write:
                for batch in batches:
                    write(batch)
            size, sha256 = measure(temporary)
        return Shard(
            index=index,
            path=self._plan.name(index),
            start=span.start,
            count=len(span),
            bytes=size,
            sha256=sha256,
        )

    def close(self) -> None:
        """Free the session."""
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    def _open(self) -> Sampler:
        settings, bundle = self._plan.settings, open_bundle(self._plan.bundle)
        shards = self._plan.path(0).parent
        if not shards.is_dir():
            raise OutputError(
                f"there is no folder {shards} where shards are made",
                fix="choose a folder with -o that all workers share",
            )
        _check(bundle, settings, find_format(settings.format))
        return bundle.sampler(
            backend=settings.backend,
            precision=settings.precision,
            options=SessionOptions(
                threads=settings.threads,
                allow_fallback=settings.allow_fallback,
                tell=self._notes.append,
            ),
            batch=settings.batch,
        )


def _check(bundle: Bundle, settings: Settings, form: Format) -> None:
    """Raise unless what is here makes the bytes that the plan means."""
    if bundle.digest != settings.bundle:
        raise InputError(
            f"{bundle.path} is another bundle than the data set is made from: its hash is "
            f"{bundle.digest[:12]}..., expected {settings.bundle[:12]}..."
        )
    here = find_versions(settings.backend, form, settings.image)
    for package, version in settings.versions.items():
        if here.get(package) != version:
            raise BackendUnavailableError(
                f"{package} is {here.get(package)} where shards are made, the data set is made "
                f"with {version}",
                fix=f"install {package} {version} there",
            )
