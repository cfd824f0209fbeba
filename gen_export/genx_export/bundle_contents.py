"""What goes into a bundle: the files and the manifest that describes them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, MutableMapping, Sequence
from importlib.metadata import version as package_version

from genx_export.bundle_writer import pack_arrays, refer
from genx_export.feeding import FedComponent
from genx_export.loop_feeding import LoopRun
from genx_export.model import OPSET, LoadedModel
from genx_runtimes.manifest import (
    FORMAT,
    FORMAT_VERSION,
    GOLDEN_PATH,
    LOOP,
    BatchBounds,
    ComponentSpec,
    GoldenSpec,
    Manifest,
    OutputSpec,
    VariantSpec,
)
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.session import Array
from genx_runtimes.version import __version__

_PACKAGES = ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "numpy")
_PRECISION = "fp32"


def collect_golden(golden: Sequence[FedComponent]) -> dict[str, Array]:
    """Return the golden arrays, `COMPONENT/in/NAME` and `COMPONENT/out/NAME`."""
    arrays: dict[str, Array] = {}
    for fed in golden:
        name = fed.component.name
        arrays |= {f"{name}/in/{fed.ports[p]}": array for p, array in fed.feeds.items()}
        arrays |= {f"{name}/out/{port}": array for port, array in fed.outputs.items()}
    return arrays


def collect_loop(loop: LoopRun | None, draw: Draw, contract: OutputSpec) -> dict[str, Array]:
    """Return the golden arrays of a sampling loop: what it drew and made, and the way there."""
    if loop is None:
        return {}
    arrays = {f"{LOOP}/in/{name}": array for name, array in draw.feeds.items()}
    arrays[f"{LOOP}/out/{contract.name}"] = loop.output
    if loop.steps is not None:
        arrays[f"{LOOP}/steps/{contract.name}"] = loop.steps
    return arrays


def assemble_bundle(
    model: LoadedModel,
    files: MutableMapping[str, bytes],
    *,
    components: Sequence[ComponentSpec],
    batch: BatchBounds,
    contract: OutputSpec,
    graphs: Mapping[str, bytes],
    golden: Mapping[str, Array],
    golden_seed: int,
    tolerance: float,
    quality: dict[str, float],
) -> Manifest:
    """Put the files of a bundle with one fp32 variant into `files`; return its manifest."""
    paths = {name: f"graphs/{_PRECISION}/{name}.onnx" for name in graphs}
    for name, data in graphs.items():
        files[paths[name]] = data
    files[GOLDEN_PATH] = pack_arrays(golden)
    return Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name=model.name,
        description=model.description,
        family=model.family.name,
        components=tuple(components),
        batch=batch,
        priors=model.priors,
        output=contract,
        sampler=model.sampler,
        variants=(
            VariantSpec(
                name=_PRECISION,
                precision=_PRECISION,
                graphs={name: refer(paths[name], data) for name, data in graphs.items()},
                tolerance=tolerance,
                quality=quality,
            ),
        ),
        golden=GoldenSpec(
            file=refer(GOLDEN_PATH, files[GOLDEN_PATH]),
            seed=golden_seed,
            count=len(golden[f"{components[0].name}/in/{components[0].inputs[0].name}"]),
            reference=model.reference,
        ),
        made_by={
            "genx": __version__,
            "python": platform.python_version(),
            "opset": str(OPSET),
            **{name: package_version(name) for name in _PACKAGES},
        },
    )
