"""Which layers compute in which types, so that int8 which is silently turned back is seen.

TensorRT may run a quantised layer in float: it dequantises transposed convolutions, for one. What
the graph asks for is read from the network; what will run is read from the plan, as far as
TensorRT-RTX writes it there in plain text, or from the engine's own inspector on a GPU.

Source: TensorRT's Python API, `INetworkDefinition`, `EngineInspector`; the text of plans as
TensorRT-RTX 1.7 writes it, which is not documented.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from genx_runtimes.engines.network import Network

# TensorRT's kinds of layers that multiply, and the plan's words for them.
_KINDS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_PLAN_OPERATIONS = (
    b"corrltn",  # a convolution
    b"convolution",
    b"deconvolution",
    b"fully_connected",
    b"gemm",
    b"matmul",
)
_TENSOR = re.compile(rb'^ *tensor=\{[^\n]*? name="?([^" \n]+)"?[^\n]* type=(\w+) \}', re.MULTILINE)
_OPERATION = re.compile(
    rb"^ *(" + b"|".join(_PLAN_OPERATIONS) + rb')=\{ name="([^"\n]+)"[^\n]*? input=\{([^}\n]*)\}',
    re.MULTILINE,
)
_UNKNOWN = "unknown"
# The inspector's words: "Row major linear FP16", "Thirty-two wide channel vectorized Int8 format",
# or for dynamic shapes "N/A", which says nothing.
_TYPES = {
    "int8": "int8",
    "fp8": "fp8",
    "fp16": "half",
    "half": "half",
    "bf16": "bf16",
    "fp32": "float",
    "float": "float",
}
_TYPE = re.compile(rf"\b({'|'.join(_TYPES)})\b", re.IGNORECASE)


class LayerPrecision(msgspec.Struct, frozen=True, kw_only=True):
    """One layer that multiplies.

    Args:
        name: of the graph's node.
        kind: TensorRT's word, in lower case.
        asked: "int8", "half" or "float": what the graph asks for.
        runs: what the plan says that it multiplies; "unknown" where it does not tell.
    """

    name: str
    kind: str
    asked: str
    runs: str

    @property
    def is_dequantised(self) -> bool:
        """Whether int8 was asked for and something else will run."""
        return self.asked == "int8" and self.runs not in ("int8", _UNKNOWN)


def list_precisions(parsed: Network, plan: bytes) -> tuple[LayerPrecision, ...]:
    """Return the layers that multiply, in the network's order, as asked for and as in the plan."""
    runs = read_plan(plan)
    trt, network = parsed.loaded.trt, parsed.network
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    makers = {layer.get_output(0).name: layer for layer in layers if layer.num_outputs}
    found = []
    for layer in layers:
        kind = layer.type.name
        if kind not in _KINDS:
            continue
        found.append(
            LayerPrecision(
                name=layer.name,
                kind=kind.lower(),
                asked=_find_asked(trt, layer, makers),
                runs=runs.get(layer.name, _UNKNOWN),
            )
        )
    return tuple(found)


def read_plan(plan: bytes) -> dict[str, str]:
    """Return {layer: type of its operands} as far as the plan tells; "int8 x float" if mixed."""
    types = {name: kind.decode() for name, kind in _TENSOR.findall(plan)}
    found: dict[str, str] = {}
    for _, name, inputs in _OPERATION.findall(plan):
        operands = re.findall(rb'"([^"]+)"', inputs)[:2]
        kinds = dict.fromkeys(types[operand] for operand in operands if operand in types)
        found |= dict.fromkeys(_split(name.decode()), " x ".join(kinds) or _UNKNOWN)
    return found


def read_inspector(text: str) -> dict[str, str]:
    """Return {layer: types} from what `EngineInspector.get_engine_information` gives as JSON."""
    information = msgspec.json.decode(text)
    found: dict[str, str] = {}
    entries = information.get("Layers", []) if isinstance(information, Mapping) else []
    for entry in entries:
        if not isinstance(entry, Mapping):  # without detailed profiling there are names alone
            continue
        texts = [str(port.get("Format/Datatype", "")) for port in entry.get("Inputs", ())]
        kinds = sorted({_TYPES[m[0].lower()] for text in texts if (m := _TYPE.search(text))})
        if entry.get("Name") and kinds:
            found[str(entry["Name"])] = " x ".join(kinds)
    return found


def complete_layers(
    layers: Sequence[LayerPrecision], found: Mapping[str, str]
) -> tuple[LayerPrecision, ...]:
    """Fill in what is unknown from an engine's own layers, which are named "conv + relu"."""
    parts = {part: types for name, types in found.items() for part in _split(name)}
    return tuple(
        replace(each, runs=parts.get(each.name, _UNKNOWN)) if each.runs == _UNKNOWN else each
        for each in layers
    )


def _split(name: str) -> list[str]:
    """Return the layers that were made one, which is named "a+b" or "a + b"."""
    return [part.strip() for part in name.split("+")]


def _find_asked(trt: Any, layer: Any, makers: Mapping[str, Any]) -> str:
    """Return int8 if an operand comes from DequantizeLinear of int8, else the operand's type."""
    operand = layer.get_input(0)
    maker = makers.get(operand.name)
    if maker is not None and maker.type == trt.LayerType.DEQUANTIZE:
        return str(maker.get_input(0).dtype.name).lower()
    return str(operand.dtype.name).lower()
