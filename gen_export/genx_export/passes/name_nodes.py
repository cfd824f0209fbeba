"""Node names that say which layer of the original model a node belongs to."""

from __future__ import annotations

import ast
from collections import Counter

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

_SCOPES = "pkg.torch.onnx.name_scopes"


class NameNodes(InPlacePass):
    """Name nodes after the PyTorch layer that they came from.

    Given: nodes with the exporter's metadata of module scopes, named by number.
    Result: nodes called `LAYER.PATH/OPERATOR`, with `_2`, `_3` ... where that occurs again, so that
    an engine's message leads back to the model.
    """

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        taken: Counter[str] = Counter()
        modified = False
        for node in model.graph:
            if _SCOPES not in node.metadata_props:
                continue
            # The scopes are a printed list of strings: the modules from the root on, then the call.
            scopes = ast.literal_eval(node.metadata_props[_SCOPES])
            layer = next((str(s) for s in reversed(scopes[:-1]) if s and s[0] != "_"), "")
            name = f"{layer}/{node.op_type}" if layer else str(node.op_type)
            taken[name] += 1
            node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
            modified = True
        return PassResult(model, modified=modified)
