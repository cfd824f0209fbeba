"""A Triton model repository: a model for each component.

Source: Triton's user guide, "Model Repository": every folder in it is a model, so that what is said
beside a configuration lies inside of the model's folder.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from genx_runtimes.backends.onnxruntime import OnnxRuntimeSession
from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import MANIFEST_PATH, ComponentSpec, TensorSpec, VariantSpec
from genx_runtimes.packaging.request import Packaged, PackageRequest, describe_client
from genx_runtimes.packaging.triton_model import OPEN, Port, TritonModel, write_config
from genx_runtimes.packaging.triton_tuning import Measured, recall_measured
from genx_runtimes.packaging.triton_warmup import FOLDER, list_warmups, list_whole_warmups
from genx_runtimes.session import SessionOptions
from genx_runtimes.verify import verify_component
from genx_runtimes.writing import check_free, make_folder

CONFIG = "config.pbtxt"
GRAPH = "1/model.onnx"
_HEAD = "# genx package: "


def write_repository(bundle: Bundle, request: PackageRequest) -> Packaged:
    """Write a model for each component into a repository, new or not; see `package`.

    Every graph has given the golden samples here before anything is written.
    """
    request.refuse_cluster_options("triton")
    variant = bundle.variant(request.precision)
    names = [f"{bundle.manifest.name}.{c.name}" for c in bundle.manifest.components]
    _check_place(request, names)
    measured = recall_measured(bundle, variant.name)
    made = [_make_model(bundle, c, variant, measured) for c in bundle.manifest.components]
    with make_folder(request.path) as folder:
        for component, model in zip(bundle.manifest.components, made, strict=True):
            _write_model(folder / model.name, bundle, component, variant, model)
    return Packaged(
        names=tuple(names),
        variant=variant.name,
        notes=tuple(_list_notes(bundle, made, measured)),
        command=f"tritonserver --model-repository={shlex.quote(str(request.path))}",
    )


def _check_place(request: PackageRequest, names: list[str]) -> None:
    check_free(request.path, force=True, folder=True)
    for name in names:
        place = request.path / name
        check_free(place, force=request.force, folder=True)
        if place.exists() and not _is_ours(place / CONFIG):
            raise InputError(f"{place} exists and is not by genx package", fix="-o elsewhere")


def _is_ours(config: Path) -> bool:
    return config.is_file() and config.read_bytes().startswith(_HEAD.encode())


def _make_model(
    bundle: Bundle, component: ComponentSpec, variant: VariantSpec, measured: Measured | None
) -> TritonModel:
    with bundle.session(
        component.name, precision=variant.name, options=SessionOptions(spinning=False)
    ) as session:
        verify_component(bundle, session, component.name, variant, "onnxruntime")
        assert isinstance(session, OnnxRuntimeSession)
        shapes = session.graph_shapes()
    return TritonModel(
        name=f"{bundle.manifest.name}.{component.name}",
        inputs=tuple(_describe(spec, shapes) for spec in component.inputs),
        outputs=tuple(_describe(spec, shapes) for spec in component.outputs),
        bounds=bundle.manifest.batch,
        measured=measured,
    )


def _describe(spec: TensorSpec, shapes: dict[str, tuple[int | None, ...]]) -> Port:
    sizes = (OPEN if size is None else size for size in shapes[spec.name])
    return Port(name=spec.name, dtype=spec.dtype, shape=tuple(sizes))


def _write_model(
    folder: Path,
    bundle: Bundle,
    component: ComponentSpec,
    variant: VariantSpec,
    model: TritonModel,
) -> None:
    golden = bundle.golden()
    if model.is_batched:
        warmups = list_warmups(component, golden, usual=model.usual_batch)
    else:
        warmups = list_whole_warmups(component, golden, size=bundle.manifest.batch.min)
    graph = folder / GRAPH
    graph.parent.mkdir(parents=True)
    graph.write_bytes(bundle.read_graph(component.name, variant.name))
    (folder / FOLDER).mkdir()
    for tensor in {t.file: t for warmup in warmups for t in warmup.inputs}.values():
        (folder / FOLDER / tensor.file).write_bytes(tensor.encode())
    (folder / MANIFEST_PATH).write_bytes(bundle.manifest_bytes)
    head = [
        f"{component.name} of {bundle.manifest.name}, {variant.name}",
        f"bundle {bundle.digest}; {MANIFEST_PATH} is the bundle's",
        *(() if model.measured is None else (model.measured.explain(),)),
    ]
    text = _HEAD + "\n# ".join(head) + "\n" + write_config(model, warmups)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _list_notes(bundle: Bundle, models: list[TritonModel], measured: Measured | None) -> list[str]:
    notes = [
        f"Triton runs the graphs alone: {describe_client(bundle.manifest)}; "
        f"{MANIFEST_PATH} in each model's folder says how"
    ]
    for model in models:
        if not model.is_batched:
            bounds = bundle.manifest.batch
            sizes = f"{bounds.min}" if bounds.min == bounds.max else f"{bounds.min} to {bounds.max}"
            notes.append(f"{model.name} takes batches of {sizes} as they are: nothing is joined")
    if measured is not None:
        return [*notes, measured.explain(), *measured.list_faster()]
    return [
        *notes,
        "how to run it fastest here is not known: one instance, and batches as requests come "
        "(genx tune BUNDLE --for throughput)",
    ]
