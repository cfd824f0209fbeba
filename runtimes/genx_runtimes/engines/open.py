"""From a graph to a running engine: one that is there and valid, or one that is built now."""

from __future__ import annotations

import hashlib
from pathlib import Path

from genx_runtimes.cache import cache_folder
from genx_runtimes.cuda import Cuda, open_cuda
from genx_runtimes.engines.build import Job, build_engine, check_builder
from genx_runtimes.engines.engine_session import EngineSession
from genx_runtimes.engines.flavours import LOG, Loaded, load_flavour
from genx_runtimes.engines.settings import BatchProfile, BuildSettings, parse_batch
from genx_runtimes.engines.sidecar import describe_environment
from genx_runtimes.engines.store import Engine, Search, Wanted, cache_engines, find_engine
from genx_runtimes.errors import BackendUnavailableError, InputError, OutputError
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import GraphOrigin, SessionOptions

DLAS = ("dla0", "dla1")
_NOWHERE = GraphOrigin(variant="graph")
_UNBOUNDED = BatchProfile(min=1, opt=8, max=64)


def open_engine(
    target: str, model: bytes, component: ComponentSpec, options: SessionOptions
) -> EngineSession:
    """Load the engine of a graph; build it first where none is valid, and say why.

    Args:
        target: a name in `flavours.TARGETS`.
        model: the serialised ONNX file.
        component: what the manifest says of it.
        options: `origin` says where engines lie, `batch` which of them to prefer.

    Raises:
        BackendUnavailableError: TensorRT, cuda-bindings or a GPU is missing.
        BackendError: there is no valid engine and none can be built; each reason is named.
    """
    if options.providers != SessionOptions().providers:
        raise InputError(
            f"providers {', '.join(options.providers)} are onnxruntime's, the backend is {target}",
            fix="--backend onnxruntime",
        )
    loaded, cuda = load_flavour(target), open_cuda()
    origin = options.origin or _NOWHERE
    wanted = Wanted(
        target=target,
        variant=origin.variant,
        component=component.name,
        onnx_sha256=hashlib.sha256(model).hexdigest(),
        batch=options.batch,
        dla=int(options.device[3:]) if options.device in DLAS else None,
    )
    here = describe_environment(loaded, cuda.describe())
    search = find_engine(_list_folders(origin.folder, wanted.onnx_sha256), wanted, here)
    engine = search.engine or _build(loaded, cuda, model, component, options, wanted, search)
    return EngineSession(
        loaded,
        engine,
        component,
        cuda,
        graphs=options.cuda_graphs,
        kernels=_find_kernels(loaded, engine),
    )


def _list_folders(bundle: Path | None, onnx_sha256: str) -> tuple[Path, ...]:
    """Return where engines may lie: in the bundle, if it is a folder, and in the user's cache."""
    own = () if bundle is None else (bundle / "engines",)
    try:
        return (*own, cache_engines(onnx_sha256))
    except OutputError:  # a cache that cannot be made holds nothing
        return own


def _find_kernels(loaded: Loaded, engine: Engine) -> Path | None:
    """Return where tensorrt-rtx keeps compiled kernels; None where nothing can be kept."""
    if not loaded.flavour.compiles_ahead:
        return None
    try:
        return cache_folder("kernels") / f"{engine.sidecar.key.digest[:32]}.bin"
    except OutputError as err:
        LOG.warning("compiled kernels are not kept: %s", err)
        return None


def _build(
    loaded: Loaded,
    cuda: Cuda,
    model: bytes,
    component: ComponentSpec,
    options: SessionOptions,
    wanted: Wanted,
    search: Search,
) -> Engine:
    """Build the engine that is missing into the user's cache, saying why."""
    target, origin = loaded.flavour.name, options.origin or _NOWHERE
    why = " | ".join(search.rejected) or "there is none"
    try:
        check_builder(loaded, cuda)
    except BackendUnavailableError as err:
        raise BackendUnavailableError(
            f"no engine of {component.name!r} for {target} is valid here ({why}), and none can be "
            f"built: {err.message}",
            fix=f"genx build BUNDLE --target {target} where it can be built",
        ) from err
    options.tell(f"no engine of {component.name!r} for {target} is valid here ({why}): building")
    if wanted.dla is not None:
        raise BackendUnavailableError(
            f"no engine of {component.name!r} for DLA {wanted.dla} is valid here ({why})",
            fix=f"genx build BUNDLE --target {target} --dla {wanted.dla} --batch N",
        )
    batch = _UNBOUNDED if origin.bounds is None else parse_batch(None, origin.bounds)
    ahead = loaded.flavour.compiles_ahead
    job = Job(
        model=model,
        component=component,
        variant=origin.variant,
        settings=BuildSettings(
            target=target,
            batch=batch,
            compute_capabilities=(cuda.describe().compute_capability,) if ahead else (),
        ),
        folder=cache_engines(wanted.onnx_sha256),
        check=origin.check,
    )
    return build_engine(loaded, cuda, job).engine
