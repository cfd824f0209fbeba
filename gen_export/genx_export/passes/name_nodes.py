"""Node names that say which layer of the original model a node belongs to."""

from __future__ import annotations

import ast

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

_SCOPES = "pkg.torch.onnx.name_scopes"


class NameNodes(InPlacePass):
    """Name nodes after the PyTorch layer that they came from, and each differently.

    Given: nodes with the exporter's metadata of module scopes, named by number; or nodes of a file
    that have no names, or the same.
    Result: nodes called `LAYER.PATH/OPERATOR`, with `_2`, `_3` ... where that occurs again, so that
    an engine's message leads back to the model. Without metadata a name that no other has stays;
    `OPERATOR` takes the place of a missing one.
    """

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        taken: set[str] = set()
        modified = False
        for node in model.graph:
            name = _find_layer(node) or node.name or str(node.op_type)
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name}_{number}", number + 1
            taken.add(unique)
            modified = modified or node.name != unique
            node.name = unique
        return PassResult(model, modified=modified)


def _find_layer(node: ir.Node) -> str:
    """Return `LAYER.PATH/OPERATOR`, or nothing where there is no metadata."""
    if _SCOPES not in node.metadata_props:
        return ""
    # The scopes are a printed list of strings: the modules from the root on, then the call.
    scopes = ast.literal_eval(node.metadata_props[_SCOPES])
    layer = next((str(s) for s in reversed(scopes[:-1]) if s and s[0] != "_"), "")
    return f"{layer}/{node.op_type}" if layer else str(node.op_type)
