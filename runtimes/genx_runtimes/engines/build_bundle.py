"""Building the engines of a bundle: a variant and a component at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.bundle import Bundle
from genx_runtimes.cuda import Cuda, open_cuda
from genx_runtimes.engines.build import (
    Built,
    Job,
    build_engine,
    check_builder,
    name_gpus,
    name_key,
)
from genx_runtimes.engines.dla import list_refusals
from genx_runtimes.engines.flavours import LOG, Loaded, load_flavour
from genx_runtimes.engines.graph_check import check_graph
from genx_runtimes.engines.memory_check import check_memory
from genx_runtimes.engines.network import Network, parse_network
from genx_runtimes.engines.settings import BuildSettings, check_settings
from genx_runtimes.engines.store import cache_engines, name_engine
from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.manifest import VariantSpec
from genx_runtimes.writing import explain_os_error

_FEW_BITS = "weights"
# Source: NVIDIA's Model Optimizer, pull request 1661: explicit quantisation is not for DLAs.
_DLA_INT8 = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlace:
    """Where engines go and what is remembered between builds.

    Args:
        in_cache: whether engines go to the user's cache, as those of a bundle that is a file do.
        timing_cache: a file of TensorRT's measurements; None keeps none.
        again: whether engines are built that are there already.
        checks_memory: whether a Jetson's free memory is compared with an estimate first.
    """

    in_cache: bool = False
    timing_cache: Path | None = None
    again: bool = False
    checks_memory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What would be built.

    Args:
        variant: of the bundle.
        component: of the bundle.
        path: where the engine would lie.
        exists: whether it does.
    """

    variant: str
    component: str
    path: Path
    exists: bool


Told = Callable[[str, int, int], None]


def build_bundle(
    bundle: Bundle,
    settings: BuildSettings,
    *,
    precisions: Sequence[str] = (),
    place: BuildPlace | None = None,
    progress: Told = lambda *_: None,
) -> Iterator[Built]:
    """Build the engines of a bundle, one after another.

    Args:
        bundle: whose graphs are built.
        settings: how.
        precisions: names of variants; empty takes all that TensorRT can have.
        place: where they go.
        progress: told what is built: words, the steps done, and how many there are.

    Raises:
        GenxError: see `build.build_engine`.
    """
    where = place or BuildPlace()
    loaded, cuda, jobs = _prepare(bundle, settings, precisions, where)
    for job in jobs:
        what = f"{job.variant} {job.component.name}"

        def tell(phase: str, done: int, total: int, what: str = what) -> None:
            progress(f"{what}: {phase.lower()}", done, total)

        built = build_engine(
            loaded,
            cuda,
            job,
            again=where.again,
            timing_cache=where.timing_cache,
            progress=tell,
        )
        # What is told of it does not take the plan, which is as large as the weights.
        yield Built(engine=built.engine._replace(data=b""), is_new=built.is_new)


def plan_bundle(
    bundle: Bundle,
    settings: BuildSettings,
    *,
    precisions: Sequence[str] = (),
    place: BuildPlace | None = None,
) -> list[Planned]:
    """Check all that can be checked without building, and return what would be built."""
    loaded, cuda, jobs = _prepare(bundle, settings, precisions, place or BuildPlace())
    planned = []
    for job in jobs:
        path = name_engine(
            job.folder,
            name_key(loaded, cuda, job.model, job.settings),
            job.variant,
            job.component.name,
        )
        planned.append(
            Planned(
                variant=job.variant,
                component=job.component.name,
                path=path,
                exists=path.with_suffix(".json").exists(),
            )
        )
    return planned


def _prepare(
    bundle: Bundle, settings: BuildSettings, precisions: Sequence[str], place: BuildPlace
) -> tuple[Loaded, Cuda | None, list[Job]]:
    """Return what builds, and the jobs, all of them checked."""
    check_settings(settings)
    names = [bundle.variant(name).name for name in precisions] or [
        v.name for v in bundle.manifest.variants if not v.precision.endswith(_FEW_BITS)
    ]
    if not names:
        raise InputError("the bundle has no variant that TensorRT takes", fix="genx quantize")
    loaded, cuda = load_flavour(settings.target), _find_gpu()
    check_builder(loaded, cuda)
    settings = name_gpus(loaded, settings)
    if place.timing_cache is not None and not place.timing_cache.absolute().parent.is_dir():
        raise InputError(f"there is no folder for the timing cache {place.timing_cache}")
    jobs = []
    for name in names:
        for component in bundle.manifest.components:
            model = bundle.read_graph(component.name, name)
            check_graph(model, component)
            parsed = parse_network(loaded, model, component.name)  # refused before any compiling
            if place.checks_memory:
                check_memory(len(model), settings)
            if settings.dla is not None:
                _check_dla(parsed, bundle.variant(name), component.name, settings)
            jobs.append(
                Job(
                    model=model,
                    component=component,
                    variant=name,
                    settings=settings,
                    folder=_make_folder(bundle, model, in_cache=place.in_cache),
                    check=bundle.origin(component.name, name).check,
                )
            )
    return loaded, cuda, jobs


def _find_gpu() -> Cuda | None:
    try:
        return open_cuda()
    except BackendUnavailableError as err:
        LOG.info("no GPU: %s", err)
        return None


def _make_folder(bundle: Bundle, model: bytes, *, in_cache: bool) -> Path:
    """Return where a graph's engines go, made now: not to be missed after the compiling."""
    if in_cache or not bundle.path.is_dir():
        return cache_engines(hashlib.sha256(model).hexdigest())
    folder = bundle.path / "engines"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as err:
        raise explain_os_error(err, folder) from err
    return folder


def _check_dla(parsed: Network, variant: VariantSpec, name: str, settings: BuildSettings) -> None:
    version = parsed.loaded.version
    if variant.precision == "int8" and int(version.partition(".")[0]) < _DLA_INT8:
        raise InputError(
            f"TensorRT {version} runs no quantised graph (Q/DQ) on a DLA",
            fix="--precision fp16, or leave out --dla",
        )
    refused = list_refusals(parsed)
    if refused and not settings.gpu_fallback:
        raise InputError(
            f"a DLA cannot run {len(refused)} layers of {name!r}: {'; '.join(refused[:3])}"
            + (" ..." if len(refused) > 3 else ""),
            fix="--gpu-fallback runs them on the GPU; genx quantize --form rewritten has "
            "no transposed convolutions",
        )
    for line in refused:
        LOG.warning("goes to the GPU: %s", line)
