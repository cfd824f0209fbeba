"""Sources that are programs from `torch.export.save`."""

from __future__ import annotations

from pathlib import Path

import torch

from genx_export.families import find_family
from genx_export.model import LoadedModel
from genx_export.sources.request import SourceRequest
from genx_export.torch_component import ProgramComponent
from genx_runtimes.errors import InputError, SourceError, WeightsError


def load_exported_program(source: str, request: SourceRequest) -> LoadedModel:
    """Load a `.pt2` file: one traced program, weights included.

    Raises:
        SourceError: missing, or not such a file.
        WeightsError: a weight is NaN or infinite.
    """
    path = Path(source)
    family = find_family(request.family or "generator")
    if len(family.calls) != 1 or request.weights is not None:
        raise InputError(
            f"{path} is one traced program with its weights",
            fix="leave out --weights and --family, or give file.py:callable",
        )
    if not path.is_file():
        raise SourceError(f"there is no file {path}", fix="torch.export.save(program, PATH)")
    try:
        program = torch.export.load(path)
    except Exception as err:  # zip, pickle and schema errors of many types
        raise SourceError(
            f"{path} is truncated or not a torch.export file: {str(err).partition(chr(10))[0]}",
            fix="save it again with torch.export.save, using this torch version",
        ) from err
    for name, tensor in program.state_dict.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} in {path} holds NaN or infinite values")
    return LoadedModel(
        name=request.name or path.stem,
        family=family,
        sampler=family.describe_sampler({}, [family.sampled]),
        components=[ProgramComponent(family.sampled, program)],
        output_names={},
        priors=request.merge_priors(()),
        output=request.output,
        reference=f"torch {torch.__version__}",
    )
