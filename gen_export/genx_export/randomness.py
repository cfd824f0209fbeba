"""Finding random numbers that a model draws by itself.

A trace would freeze such noise into the graph, or leave the engine to draw it without the seed:
either way the bundle would no longer draw what its seed says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import ExportedProgram

from genx_runtimes.errors import RandomnessError
from genx_runtimes.session import Array

# How to get rid of noise: in what the priors feed, and in what is fed by another component.
MAKE_INPUT = (
    "make the noise an argument of forward() and give it a prior: --prior noise=normal:SHAPE"
)
RETURN_PARAMETERS = (
    "return what the noise is put on, such as mean and log-variance, and draw outside: only what "
    "the priors feed may draw"
)
_RANDOM_OPERATORS = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    }
)


def refuse_random_calls(component: str, program: ExportedProgram, fix: str = MAKE_INPUT) -> None:
    """Raise RandomnessError if a traced program calls a random function; names it and its line."""
    found = [
        f"{_call_name(node)}{_source_line(node)}"
        for node in program.graph.nodes
        if node.op == "call_function" and _is_random(node)
    ]
    if found:
        raise RandomnessError(
            f"component {component!r} draws its own random numbers: {_list(found)}", fix=fix
        )


def refuse_random_nodes(component: str, model: ir.Model) -> None:
    """Raise RandomnessError if an ONNX graph has a random node; names it."""
    found = [
        f"{node.op_type} {node.name!r}"
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if node.op_type in _RANDOM_OPERATORS
        or (node.op_type == "Dropout" and _is_training_dropout(node))
    ]
    if found:
        raise RandomnessError(
            f"component {component!r} draws its own random numbers: {_list(found)}",
            fix="export the original model with that noise as an input",
        )


def refuse_unrepeatable(
    component: str, first: Iterable[Array], second: Iterable[Array], fix: str = MAKE_INPUT
) -> None:
    """Raise RandomnessError if two runs on the same inputs differ.

    This finds what the trace cannot show: noise from numpy or `random`, which a trace freezes into
    a constant.
    """
    for a, b in zip(first, second, strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            raise RandomnessError(
                f"component {component!r} gives different outputs for the same inputs "
                f"(max difference {_distance(a, b):.1e}): its forward() draws random numbers",
                fix=fix,
            )


def refuse_frozen_noise(built: nn.Module, again: nn.Module, learned: Iterable[str]) -> None:
    """Raise RandomnessError if a tensor outside the weights changes with each build of the model.

    Args:
        built: the model.
        again: the same model, built under another seed.
        learned: names that the weights set in both; their values are known not to be chance.
    """
    ours, theirs = _unlearned_tensors(built, set(learned)), _unlearned_tensors(again, set(learned))
    for name, tensor in ours.items():
        other = theirs.get(name)
        if other is not None and not torch.equal(tensor, other):
            raise RandomnessError(
                f"tensor {name!r} is drawn anew each time the model is built and is not in the "
                f"weights: export would freeze this noise",
                fix="save it with the weights (register_buffer), or make it an argument of "
                "forward() with a prior",
            )


def _unlearned_tensors(module: nn.Module, learned: set[str]) -> Mapping[str, torch.Tensor]:
    """Return plain tensor attributes and buffers that are not part of the weights."""
    found = {name: tensor for name, tensor in module.named_buffers() if name not in learned}
    for path, part in module.named_modules():
        for attribute, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                found[f"{path}.{attribute}" if path else attribute] = value
    return found


def _distance(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _is_random(node: torch.fx.Node) -> bool:
    """Whether a call draws numbers: dropout that is off, or with probability 0, does not."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    if torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    given = dict(zip((a.name for a in target._schema.arguments), node.args, strict=False))
    given |= node.kwargs
    defaults = {a.name: a.default_value for a in target._schema.arguments if a.has_default_value()}
    values = defaults | given
    if values.get("train", values.get("training")) is False:
        return False
    return not any(values.get(name) == 0 for name in ("dropout_p", "dropout"))


def _call_name(node: torch.fx.Node) -> str:
    return str(node.target).removesuffix(".default")


def _source_line(node: torch.fx.Node) -> str:
    """Return " (file.py:12 `code`)" for the innermost frame outside torch, if it is known."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in \S+\n?\s*(.*)', node.stack_trace or "")
    outside = [f for f in frames if "site-packages/torch/" not in f[0].replace("\\", "/")]
    if not outside:
        return ""
    path, line, code = outside[-1]
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return f" ({name}:{line} `{code}`)" if code else f" ({name}:{line})"


def _is_training_dropout(node: ir.Node) -> bool:
    """Whether Dropout's third input, training_mode, may be true (opset 12 on)."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    mode = ir.convenience.get_const_tensor(node.inputs[2])
    return mode is None or bool(mode.numpy())


def _list(found: list[str]) -> str:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more
