"""Components that are PyTorch: an nn.Module, or a program that was traced already."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import ExportedProgram

from genx_export.randomness import MAKE_INPUT, refuse_random_calls, refuse_unrepeatable
from genx_export.trace import trace_module, translate_program
from genx_runtimes.errors import GenxError, SourceError, TraceError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import Array

if TYPE_CHECKING:
    from typing_extensions import Self

_UNBOUNDED = 2**31 - 1


class ModuleComponent:
    """An nn.Module, put into eval mode.

    Args:
        name: the component's name.
        module: what it computes.
        noise_fix: what to do about noise that it draws.
    """

    def __init__(self, name: str, module: nn.Module, noise_fix: str = MAKE_INPUT) -> None:
        self.name = name
        self.module = module.eval()
        self._noise_fix = noise_fix

    @property
    def parameters(self) -> Mapping[str, bool]:
        """forward()'s parameters; one with a default is not required."""
        named = inspect.signature(self.module.forward).parameters.values()
        return {
            p.name: p.default is p.empty
            for p in named
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }

    @property
    def bounds(self) -> BatchBounds | None:
        """Any batch size will do; tracing finds out."""
        return None

    def replace_module(self, module: nn.Module) -> Self:
        """Return a component like this one that computes another module."""
        other = copy.copy(self)
        other.module = module.eval()
        return other

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module in inference mode."""
        return _run_module(self.name, self.module, feeds)

    def translate(self, feeds: Mapping[str, Array], batch: BatchBounds) -> ir.Model:
        """Trace and translate; refuse randomness of every kind that can be seen from outside."""
        program = trace_module(self.name, self.module, _to_tensors(feeds), batch)
        refuse_random_calls(self.name, program, self._noise_fix)
        first, second = self.run(feeds), self.run(feeds)
        refuse_unrepeatable(self.name, first.values(), second.values(), self._noise_fix)
        return translate_program(self.name, program, list(feeds), list(first))


class ProgramComponent:
    """A program from `torch.export.save`, with the shapes and bounds that it was traced for.

    Args:
        name: the component's name.
        program: what it computes.
    """

    def __init__(self, name: str, program: ExportedProgram) -> None:
        self.name = name
        self._program = program
        self.module = program.module()

    @property
    def parameters(self) -> Mapping[str, bool]:
        """The program's inputs, all required."""
        return dict.fromkeys(self._program.graph_signature.user_inputs, True)

    @property
    def bounds(self) -> BatchBounds | None:
        """The range that the program was traced for; a fixed size where it was not dynamic."""
        size = next(iter(self._input_shapes().values()))[0]
        if isinstance(size, int):
            return BatchBounds(min=size, max=size)
        limits = self._program.range_constraints[size.node.expr]
        upper = int(limits.upper) if limits.upper.is_finite else _UNBOUNDED
        return BatchBounds(min=max(1, int(limits.lower)), max=upper)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the program."""
        self._check_shapes(feeds)
        return _run_module(self.name, self.module, feeds, positional=True)

    def translate(self, feeds: Mapping[str, Array], batch: BatchBounds) -> ir.Model:
        """Translate the program."""
        del batch  # the program has its own
        refuse_random_calls(self.name, self._program)
        return translate_program(self.name, self._program, list(feeds), list(self.run(feeds)))

    def _input_shapes(self) -> dict[str, tuple[int | torch.SymInt, ...]]:
        names = set(self._program.graph_signature.user_inputs)
        return {
            node.name: tuple(node.meta["val"].shape)
            for node in self._program.graph.nodes
            if node.op == "placeholder" and node.name in names
        }

    def _check_shapes(self, feeds: Mapping[str, Array]) -> None:
        for name, shape in self._input_shapes().items():
            check_shape(self.name, name, feeds[name].shape, [_static(size) for size in shape])


def check_shape(
    component: str, name: str, got: tuple[int, ...], expected: list[int | None]
) -> None:
    """Raise SourceError if a prior's array does not have the shape of the input that it feeds.

    Args:
        component: the component's name.
        name: the input's name.
        got: (B, ...).
        expected: the same with None for sizes that are free.
    """
    fits = len(got) == len(expected) and all(
        size in (None, g) for size, g in zip(expected[1:], got[1:], strict=True)
    )
    if not fits:
        wanted = "x".join("?" if size is None else str(size) for size in expected[1:])
        given = "x".join(map(str, got[1:]))
        raise SourceError(
            f"input {name!r} of component {component!r} takes {wanted or 'one number'} a sample, "
            f"its prior gives {given or 'one number'}",
            fix=f"--prior {name}=normal:{wanted}" if wanted else f"--prior {name}=categorical:N",
        )


def _static(size: int | torch.SymInt) -> int | None:
    return size if isinstance(size, int) else None


def _to_tensors(feeds: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in feeds.items()}


def _run_module(
    component: str, module: nn.Module, feeds: Mapping[str, Array], *, positional: bool = False
) -> dict[str, Array]:
    tensors = _to_tensors(feeds)
    try:
        with torch.inference_mode():
            result = module(*tensors.values()) if positional else module(**tensors)
    except GenxError:
        raise
    except Exception as err:  # whatever the model's own code raises
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in feeds.items())
        reason = " ".join(str(err).split())[:300]
        raise SourceError(
            f"component {component!r} rejects its inputs: got {shapes}; the model says: {reason}",
            fix="give the priors the shapes that forward() takes, as in --prior z=normal:100x1x1",
        ) from err
    return {name: tensor.numpy() for name, tensor in _name_outputs(component, result).items()}


def _name_outputs(component: str, result: object) -> dict[str, torch.Tensor]:
    """Name what forward() returned: a tensor, or a tuple, list or dict of tensors."""
    if isinstance(result, torch.Tensor):
        return {"output": result}
    if isinstance(result, Mapping):
        named = {str(name): value for name, value in result.items()}
    elif isinstance(result, (tuple, list)):
        named = {f"output_{i}": value for i, value in enumerate(result)}
    else:
        named = {"output": result}
    for name, value in named.items():
        if not isinstance(value, torch.Tensor):
            raise TraceError(
                f"component {component!r} returns a {type(value).__name__} as {name!r}, "
                f"expected tensors",
                fix="return a tensor, or a tuple, list or dict of tensors, from forward()",
            )
    return named
