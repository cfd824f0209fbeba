"""From a graph to a running engine: one that is there and valid, or one that is built now."""

from __future__ import annotations

import hashlib
from pathlib import Path

from genx_runtimes.cache import cache_folder
from genx_runtimes.cuda import Cuda, open_cuda
from genx_runtimes.engines.build import Job, build_engine, check_builder
from genx_runtimes.engines.engine_session import EngineSession
from genx_runtimes.engines.flavours import Loaded, load_flavour
from genx_runtimes.engines.settings import BatchProfile, BuildSettings, parse_batch
from genx_runtimes.engines.sidecar import describe_environment
from genx_runtimes.engines.store import Engine, Search, find_engine
from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import GraphOrigin, SessionOptions

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
    search = find_engine(
        engine_folders(origin.folder),
        target,
        origin.variant,
        component.name,
        onnx_sha256=hashlib.sha256(model).hexdigest(),
        here=describe_environment(loaded, cuda.describe()),
        batch=options.batch,
    )
    engine = search.engine or _build(loaded, cuda, model, component, options, search)
    return EngineSession(
        loaded,
        engine,
        component,
        cuda,
        graphs=options.cuda_graphs,
        kernels=cache_folder("kernels") / f"{engine.sidecar.key.digest[:32]}.bin",
    )


def engine_folders(bundle: Path | None) -> tuple[Path, ...]:
    """Return where engines may lie: in the bundle, if it is a folder, and in the user's cache."""
    own = () if bundle is None or not bundle.is_dir() else (bundle / "engines",)
    return (*own, cache_folder("engines"))


def _build(
    loaded: Loaded,
    cuda: Cuda,
    model: bytes,
    component: ComponentSpec,
    options: SessionOptions,
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
    batch = _UNBOUNDED if origin.bounds is None else parse_batch(None, origin.bounds)
    job = Job(
        model=model,
        component=component,
        variant=origin.variant,
        settings=BuildSettings(target=target, batch=batch),
        folder=cache_folder("engines"),
        check=origin.check,
    )
    return build_engine(loaded, cuda, job).engine
