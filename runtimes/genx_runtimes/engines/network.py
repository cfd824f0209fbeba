"""From an ONNX file to TensorRT's network, with the parser's errors in our words.

Source: TensorRT's Python API, `OnnxParser` and `IParserError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genx_runtimes.engines.flavours import Loaded
from genx_runtimes.errors import BackendError, BackendUnavailableError

_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
_FEW_BITS = ("MatMulNBits",)


@dataclass(frozen=True, slots=True)
class Network:
    """A parsed graph; all parts live as long as this does."""

    loaded: Loaded
    builder: Any
    network: Any
    parser: Any


def parse_network(loaded: Loaded, model: bytes, name: str) -> Network:
    """Parse a graph into a strongly typed network: precision is what the graph says.

    Args:
        loaded: a TensorRT.
        model: the serialised ONNX file, checked by `graph_check`.
        name: the component's.

    Raises:
        BackendError: TensorRT cannot run the graph; node, operator and layer are named.
    """
    trt = loaded.trt
    loaded.errors.clear()
    try:
        builder = trt.Builder(loaded.logger)
    except (TypeError, RuntimeError) as err:  # pybind11: nothing was made
        raise BackendUnavailableError(
            f"{loaded.flavour.name} {loaded.version} cannot start: {loaded.last_error()}",
            fix="genx doctor shows what works here",
        ) from err
    # Needed on TensorRT 10, where it is no default; harmless later.
    strong = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strong)
    parser = trt.OnnxParser(network, loaded.logger)
    if not parser.parse(model):
        raise explain_errors(loaded, parser, name)
    if network.num_outputs == 0 or network.num_layers == 0:
        raise BackendError(
            f"TensorRT read {network.num_layers} layers and {network.num_outputs} outputs from the "
            f"graph of {name!r}",
            fix="export the bundle again",
        )
    return Network(loaded, builder, network, parser)


def explain_errors(loaded: Loaded, parser: Any, name: str) -> BackendError:
    """Return the parser's first error: the node, its operator, the model's layer, what to do."""
    who = f"{loaded.flavour.name} {loaded.version}"
    if not parser.num_errors:
        return BackendError(f"{who} refuses the graph of {name!r}: {loaded.last_error()}")
    error = parser.get_error(0)
    node, operator = error.node_name(), error.node_operator()
    reason = " ".join(error.desc().split())
    # A check that failed is told as the condition, which may be no more than "false".
    why = "" if reason in ("", "false") else f": {reason}"
    more = f" and {parser.num_errors - 1} more" if parser.num_errors > 1 else ""
    if not operator:
        return BackendError(
            f"{who} refuses the graph of {name!r}{why or ': no reason given'}{more}"
        )
    layer = node.rpartition("/")[0]
    where = f"layer {layer!r} of the model (node {node})" if layer else f"node {node!r}"
    return BackendError(
        f"{who} does not run {operator} in {where} of {name!r}{more}{why}",
        fix=_suggest(operator),
    )


def _suggest(operator: str) -> str:
    if operator in _QUANTISERS:
        return "this int8 is for CPUs: genx quantize BUNDLE --target tensorrt"
    if operator in _FEW_BITS:
        return "take --precision fp16: TensorRT does not have weights of few bits in this form"
    return (
        "write that layer with other operators, or run the bundle with --backend onnxruntime:cuda"
    )
