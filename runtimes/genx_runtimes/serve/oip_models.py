"""A bundle as the Open Inference Protocol's models: names, inputs and outputs.

Source: kserve/open-inference-protocol, `inference_rest.md`, "Model Metadata".
"""

from __future__ import annotations

from genx_runtimes.manifest import CategoricalPrior, Manifest
from genx_runtimes.serve.tensors import name_datatype

VERSION = "1"


def name_models(manifest: Manifest) -> list[str]:
    """Return the names that a bundle's sampler and its components have here."""
    return [manifest.name, *(f"{manifest.name}.{c.name}" for c in manifest.components)]


def describe_model_tensors(manifest: Manifest, component: str | None) -> dict[str, object]:
    """Return the metadata of a component, or of the sampler where it is None."""
    if component is not None:
        spec = manifest.component(component)
        name = f"{manifest.name}.{component}"
        inputs = [_tensor(t.name, name_datatype(t.dtype), t.shape) for t in spec.inputs]
        outputs = [_tensor(t.name, name_datatype(t.dtype), t.shape) for t in spec.outputs]
    else:
        name = manifest.name
        inputs = [_tensor("seed", "UINT64", (1,)), _tensor("n", "INT64", (1,))]
        inputs.append(_tensor("start", "UINT64", (1,)))
        for prior in manifest.priors:
            if isinstance(prior, CategoricalPrior):
                inputs.append(_tensor(prior.name, "INT64", ("n",)))
            else:
                inputs.append(_tensor(prior.name, "FP32", ("n", *prior.shape)))
        outputs = [_output(manifest)]
        if manifest.output.kind == "image":
            outputs.append(_tensor("pixels", "UINT8", (-1, -1, -1, -1)))
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "genx_bundle",
        "inputs": inputs,
        "outputs": outputs,
    }


def list_outputs(manifest: Manifest, component: str | None) -> list[str]:
    """Return the names of a component's outputs, or of the sampler's where it is None."""
    if component is not None:
        return [t.name for t in manifest.component(component).outputs]
    return [manifest.output.name, *(["pixels"] if manifest.output.kind == "image" else [])]


def _output(manifest: Manifest) -> dict[str, object]:
    name = manifest.output.name
    if manifest.output.kind == "text":
        return _tensor(name, "BYTES", (-1,))
    for component in manifest.components:
        for spec in component.outputs:
            if spec.name == name:
                return _tensor(name, name_datatype(spec.dtype), spec.shape)
    return _tensor(name, "FP32", (-1,))


def _tensor(name: str, datatype: str, shape: tuple[int | str, ...]) -> dict[str, object]:
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    return {"name": name, "datatype": datatype, "shape": sizes}
