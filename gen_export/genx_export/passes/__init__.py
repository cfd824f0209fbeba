"""The ordered lists of graph passes, and what runs them.

A pass is an onnx-ir pass: `Given:` a graph, `Result:` the same graph, changed or not. A new one
costs one file here, one line in `PASSES` or `REWRITES` and one test file. `PASSES` make the native
form of a graph, `REWRITES` the rewritten form of that: equal up to rounding, and faster in some
engines and precisions, which is for a measurement to say.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes import InPlacePass
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
    TopologicalSortPass,
)

from genx_export.passes.decision import Decision, Explains
from genx_export.passes.move_pointwise import MovePointwise
from genx_export.passes.name_nodes import NameNodes
from genx_export.passes.rewrite_conv_transpose import (
    RewriteConvTranspose,
    RewriteNarrowConvTranspose,
)
from genx_export.passes.rewrite_group_norm import RewriteGroupNorm
from genx_export.passes.rewrite_nearest_conv import RewriteNearestConv
from genx_export.passes.rewrite_unit_grid import RewriteUnitGrid
from genx_export.passes.simplify import Simplify

__all__ = ["PASSES", "REWRITES", "Decision", "rewrite", "run_passes"]

# Each says why it stands where it does.
PASSES: tuple[type[InPlacePass], ...] = (
    Simplify,  # first: the others should not see what will be gone
    NameNodes,  # reads the metadata that the next one clears
    ClearMetadataAndDocStringPass,  # holds source paths of the exporting machine
    TopologicalSortPass,  # last: engines expect producers before consumers
)

REWRITES: dict[str, tuple[type[InPlacePass], ...]] = {
    "rewritten": (
        RewriteNearestConv,  # first: it makes transposed convolutions for the next two
        RewriteUnitGrid,  # before the general one, which fits as well and is slower there
        RewriteConvTranspose,
        MovePointwise,  # in front of the shuffles that the former made
        RewriteGroupNorm,
        RemoveUnusedNodesPass,  # the old weights
        TopologicalSortPass,
    ),
    "mixed": (
        RewriteNearestConv,
        RewriteUnitGrid,
        RewriteNarrowConvTranspose,
        MovePointwise,
        RewriteGroupNorm,
        RemoveUnusedNodesPass,
        TopologicalSortPass,
    ),
}


def run_passes(model: ir.Model, passes: Sequence[type[InPlacePass]] = PASSES) -> list[str]:
    """Run the passes on a model in place; return the names of those that changed it."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of each node it can't fold
    return [made.__name__ for made in passes if made()(model).modified]


def rewrite(model: ir.Model, form: str = "rewritten") -> list[Decision]:
    """Bring a model into a form of `REWRITES`, in place; return what was decided where."""
    ShapeInferencePass()(model)
    decisions: list[Decision] = []
    for made in REWRITES[form]:
        step = made()
        step(model)
        if isinstance(step, Explains):
            decisions += step.decisions
    ShapeInferencePass()(model)
    return decisions
