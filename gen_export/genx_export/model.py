"""What a source gives to the export pipeline: components that can be run and translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import onnx_ir as ir
from torch import nn

from genx_export.families import Family
from genx_export.families.family import OUTPUT
from genx_runtimes.manifest import BatchBounds, OutputSpec, Prior
from genx_runtimes.sampling_specs import SamplerSpec
from genx_runtimes.session import Array

# The newest opset that TensorRT 10.3 (9 to 20) and onnxruntime 1.18 (up to 21) both read.
OPSET = 20
DEFAULT_BATCH = BatchBounds(min=1, max=64)


class Component(Protocol):
    """One graph to be: it can compute its own reference outputs and become ONNX."""

    @property
    def name(self) -> str:
        """The component's name in the bundle."""
        ...

    @property
    def parameters(self) -> Mapping[str, bool]:
        """The names of its inputs in order, and whether each is required."""
        ...

    @property
    def bounds(self) -> BatchBounds | None:
        """The batch sizes that it was made for; None where any will do."""
        ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the original model's outputs (B, ...) for inputs (B, ...), by the model's names.

        Raises:
            SourceError: the model rejects the inputs; the message gives got and expected.
        """
        ...

    def translate(self, feeds: Mapping[str, Array], batch: BatchBounds) -> ir.Model:
        """Return the component as ONNX: inputs in the order of `feeds`, outputs in that of `run`.

        Args:
            feeds: example inputs to trace with.
            batch: the batch sizes that the graph must accept, within `bounds`.

        Raises:
            TraceError: it cannot be traced or translated.
            RandomnessError: it draws its own random numbers.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready for export.

    Args:
        name: the bundle's name.
        family: how it is cut up and sampled.
        sampler: the loop that samples it.
        components: its graphs.
        output_names: names for components' outputs, in order, where the source gives them.
        priors: what feeds the sampled component.
        output: the output contract; None where the source says nothing.
        images: real images for inputs that take them, a folder or an .npz by input.
        description: for people.
        reference: what computes the golden outputs.
        warnings: what the user should know.
    """

    name: str
    family: Family
    sampler: SamplerSpec
    components: Sequence[Component]
    output_names: Mapping[str, tuple[str, ...]]
    priors: tuple[Prior, ...]
    output: OutputSpec | None
    images: Mapping[str, Path] = field(default_factory=dict)
    description: str = ""
    reference: str
    warnings: tuple[str, ...] = ()

    @property
    def contract(self) -> OutputSpec:
        """The output contract; a plain tensor where the source says nothing."""
        return self.output or OutputSpec(name=OUTPUT, kind="tensor")


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model-making callable may return instead of a bare nn.Module.

    Args:
        module: the model.
        priors: as in a recipe: {"z": "normal:100", "label": "categorical:10"}.
        output: as in `--output`: "image:-1..1"; or the fields of a recipe's `[output]`.
        family: a name in `genx_export.families.FAMILIES`.
        sampler: fields of the family's loop, as in a recipe's `[sampler]`.
        name: the bundle's name.
        description: for people.
    """

    module: nn.Module
    priors: Mapping[str, str] = field(default_factory=dict)
    output: str | Mapping[str, object] | None = None
    family: str | None = None
    sampler: Mapping[str, object] = field(default_factory=dict)
    name: str | None = None
    description: str = ""
