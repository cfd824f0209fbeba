"""Constant folding, BatchNorm folding, dead code and repeated expressions."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer

# By these the exporter puts the gates of recurrent layers in ONNX's order, which would be done in
# each run: constants as large as weights are not folded by default.
_GATES = ("Slice", "Concat", "Unsqueeze")


class Simplify(InPlacePass):
    """Compute at export what need not be computed at each sample.

    Given: a graph as the exporter wrote it.
    Result: what depends on constants alone is a constant; BatchNormalization behind Conv,
    ConvTranspose or Gemm is part of that layer's weights; nodes without a user are gone, equal ones
    are one.

    Source: onnxscript's optimizer and its default rewrite rules.
    """

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        before = _count_nodes(model)
        optimizer.optimize(model)
        optimizer.fold_constants(model, should_fold=_arranges_gates)
        RemoveUnusedNodesPass()(model)
        return PassResult(model, modified=_count_nodes(model) != before)


def _arranges_gates(node: ir.Node) -> bool | None:
    return True if node.op_type in _GATES else None


def _count_nodes(model: ir.Model) -> int:
    return sum(1 for _ in ir.traversal.RecursiveGraphIterator(model.graph))
