"""The ordered list of graph passes, and what runs them.

A pass is an onnx-ir pass: `Given:` a graph, `Result:` the same graph, changed or not. A new one
costs one file here, one line in `PASSES` and one test file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes import InPlacePass
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, TopologicalSortPass

from genx_export.passes.name_nodes import NameNodes
from genx_export.passes.simplify import Simplify

__all__ = ["PASSES", "run_passes"]

# Each says why it stands where it does.
PASSES: tuple[type[InPlacePass], ...] = (
    Simplify,  # first: the others should not see what will be gone
    NameNodes,  # reads the metadata that the next one clears
    ClearMetadataAndDocStringPass,  # holds source paths of the exporting machine
    TopologicalSortPass,  # last: engines expect producers before consumers
)


def run_passes(model: ir.Model, passes: Sequence[type[InPlacePass]] = PASSES) -> list[str]:
    """Run the passes on a model in place; return the names of those that changed it."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of each node it can't fold
    return [made.__name__ for made in passes if made()(model).modified]
