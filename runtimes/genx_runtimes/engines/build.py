"""Building engines: by one process at a time, verified before they can be found."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as replace_job
from pathlib import Path

from msgspec.structs import replace

from genx_runtimes.cuda import Cuda
from genx_runtimes.engines.builder import BuildProgress, Plan, build_plan
from genx_runtimes.engines.engine_session import EngineSession
from genx_runtimes.engines.flavours import Loaded
from genx_runtimes.engines.graph_check import check_graph
from genx_runtimes.engines.precision import complete_layers
from genx_runtimes.engines.settings import BuildSettings, check_settings
from genx_runtimes.engines.sidecar import (
    SIDECAR_VERSION,
    EngineKey,
    Sidecar,
    describe_environment,
    list_differences,
)
from genx_runtimes.engines.store import (
    Engine,
    lock_engine,
    name_engine,
    read_engine,
    write_engine,
)
from genx_runtimes.errors import BackendUnavailableError, IntegrityError
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import Session
from genx_runtimes.version import __version__

# Compares a session with the golden samples: the largest error, or raises VerificationError.
Check = Callable[[Session], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One engine to build.

    Args:
        model: the serialised ONNX file.
        component: what the manifest says of it.
        variant: its precision in the bundle.
        settings: how to build.
        folder: where engines go.
        check: compares with the golden samples; None where there are none.
    """

    model: bytes
    component: ComponentSpec
    variant: str
    settings: BuildSettings
    folder: Path
    check: Check | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An engine, and whether it was built now or was there."""

    engine: Engine
    is_new: bool


def name_gpus(loaded: Loaded, settings: BuildSettings) -> BuildSettings:
    """Return settings that name the GPUs: what is compiled ahead is so for Ampere and later."""
    if settings.compute_capabilities or not loaded.flavour.compiles_ahead:
        return settings
    from genx_runtimes.engines.rtx import list_compute_capabilities

    known = list_compute_capabilities(loaded.trt)
    return replace(settings, compute_capabilities=tuple(c for c in known if not c.startswith("7")))


def name_key(loaded: Loaded, cuda: Cuda | None, model: bytes, settings: BuildSettings) -> EngineKey:
    """Return all that an engine depends on.

    What tensorrt-rtx builds for named GPUs depends on none that is here.
    """
    ahead = loaded.flavour.compiles_ahead
    device = None if cuda is None or ahead else cuda.describe()
    return EngineKey(
        onnx_sha256=hashlib.sha256(model).hexdigest(),
        settings=settings,
        environment=describe_environment(loaded, device),
    )


def build_engine(
    loaded: Loaded,
    cuda: Cuda | None,
    job: Job,
    *,
    again: bool = False,
    timing_cache: Path | None = None,
    progress: BuildProgress = lambda *_: None,
) -> Built:
    """Build an engine, verify it if there is a GPU, and write it; or return the one that is there.

    Args:
        loaded: a TensorRT with its builder.
        cuda: the GPU; None where there is none.
        job: what to build.
        again: build even if it is there.
        timing_cache: see `builder.build_plan`.
        progress: see `builder.build_plan`.

    Raises:
        InputError: settings or the graph are wrong.
        BackendUnavailableError: TensorRT has no builder here, or needs a GPU to build.
        BackendError: TensorRT refuses the graph.
        VerificationError: the engine does not draw what the model drew; it is not kept.
        OutputError: the engine cannot be written.
    """
    check_settings(job.settings)
    check_builder(loaded, cuda)
    job = replace_job(job, settings=name_gpus(loaded, job.settings))
    check_graph(job.model, job.component)
    key = name_key(loaded, cuda, job.model, job.settings)
    path = name_engine(job.folder, key, job.variant, job.component.name)
    with lock_engine(path):
        if not again and path.exists():
            try:
                found = read_engine(path)
            except IntegrityError:  # what was left half written, or altered, is built again
                pass
            else:
                return Built(engine=_verify_later(loaded, cuda, job, found), is_new=False)
        start = time.perf_counter()
        plan = build_plan(
            loaded,
            job.model,
            job.component,
            job.settings,
            timing_cache=timing_cache,
            progress=progress,
        )
        engine = Engine(path, _describe(key, job, plan, time.perf_counter() - start), plan.data)
        engine = _verify(loaded, cuda, job, engine)
        write_engine(path, engine.sidecar, engine.data)
    return Built(engine=engine, is_new=True)


def check_builder(loaded: Loaded, cuda: Cuda | None) -> None:
    """Raise BackendUnavailableError where this TensorRT cannot build."""
    if not hasattr(loaded.trt, "Builder") or not hasattr(loaded.trt, "OnnxParser"):
        raise BackendUnavailableError(
            f"this {loaded.flavour.name} {loaded.version} runs engines and builds none",
            fix=loaded.flavour.install,
        )
    if cuda is None and not loaded.flavour.compiles_ahead:
        raise BackendUnavailableError(
            f"{loaded.flavour.name} builds on the GPU that will run the engine; there is none here",
            fix="run genx build on the device; --target tensorrt-rtx compiles ahead",
        )


def _verify_later(loaded: Loaded, cuda: Cuda | None, job: Job, engine: Engine) -> Engine:
    """Verify what was built where it could not run, if it can run here."""
    if engine.sidecar.max_error is not None:
        return engine
    verified = _verify(loaded, cuda, job, engine)
    if verified is not engine:
        write_engine(verified.path, verified.sidecar, verified.data)
    return verified


def _describe(key: EngineKey, job: Job, plan: Plan, seconds: float) -> Sidecar:
    return Sidecar(
        sidecar_version=SIDECAR_VERSION,
        key=key,
        component=job.component.name,
        variant=job.variant,
        bytes=len(plan.data),
        sha256=hashlib.sha256(plan.data).hexdigest(),
        tensors=(*job.component.inputs, *job.component.outputs),
        layers=plan.layers,
        max_error=None,
        build_seconds=seconds,
        genx=__version__,
    )


def _verify(loaded: Loaded, cuda: Cuda | None, job: Job, engine: Engine) -> Engine:
    """Return the engine with its error in the sidecar, measured if it can run here."""
    if cuda is None or job.check is None:
        return engine
    here = describe_environment(loaded, cuda.describe())
    if list_differences(engine.sidecar, engine.sidecar.key.onnx_sha256, here):
        return engine  # built for another GPU than the one that is here
    with EngineSession(loaded, engine, job.component, cuda) as session:
        error = job.check(session)
        layers = complete_layers(engine.sidecar.layers, session.inspect_layers())
    return engine._replace(sidecar=replace(engine.sidecar, max_error=error, layers=layers))
