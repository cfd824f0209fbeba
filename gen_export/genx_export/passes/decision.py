"""What a rewriting pass decided for each place that it looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import onnx_ir as ir
from onnx_ir.passes import PassResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One place in a graph and what became of it.

    Args:
        rewrite: the pass.
        node: the node's name.
        fired: whether the graph was changed there.
        reason: what was made of it, or why nothing was.
    """

    rewrite: str
    node: str
    fired: bool
    reason: str


class NotRewritten(Exception):  # noqa: N818 - not an error: an outcome
    """Why a rewrite does not apply to a node; the graph is as it was."""


@runtime_checkable
class Explains(Protocol):
    """A pass that can say what it did where."""

    decisions: list[Decision]


def rewrite_each(
    rewrite: Explains,
    model: ir.Model,
    operators: Collection[str],
    apply: Callable[[ir.Graph, ir.Node], str],
) -> PassResult:
    """Try a rewrite on every node of some operators and note what came of it.

    Args:
        rewrite: the pass, which takes the notes.
        model: changed in place.
        operators: names in the standard ONNX domain.
        apply: changes the graph and returns what it made, or raises `NotRewritten`.
    """
    modified = False
    for node in list(model.graph):
        if node.op_type not in operators or node.domain:
            continue
        try:
            reason = apply(model.graph, node)
        except NotRewritten as why:
            fired, reason = False, str(why)
        else:
            fired = modified = True
        rewrite.decisions.append(
            Decision(
                rewrite=type(rewrite).__name__, node=str(node.name), fired=fired, reason=reason
            )
        )
    return PassResult(model, modified=modified)
