"""The registry of sources: what `genx export SOURCE` accepts.

| SOURCE | file |
|---|---|
| a folder with a recipe.toml | recipe.py |
| a folder that diffusers or transformers saved | huggingface/ |
| file.py:callable, package.module:callable | python_callable.py |
| NAME.pt2 from torch.export.save | exported_program.py |
| NAME.onnx | onnx_file.py |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genx_export.hoisting import hoist_noise
from genx_export.model import LoadedModel
from genx_export.sources.exported_program import load_exported_program
from genx_export.sources.huggingface import is_huggingface, load_huggingface
from genx_export.sources.onnx_file import load_onnx_file
from genx_export.sources.python_callable import load_callable
from genx_export.sources.recipe import RECIPE, load_recipe
from genx_export.sources.request import SourceRequest
from genx_runtimes.errors import SourceError

__all__ = ["SOURCES", "SourceRequest", "load_source"]

Load = Callable[[str, SourceRequest], LoadedModel]

# The first whose test holds is taken; the callable comes last since any text with a colon fits.
SOURCES: tuple[tuple[Callable[[str], bool], Load], ...] = (
    (lambda source: (Path(source) / RECIPE).is_file(), load_recipe),
    (lambda source: is_huggingface(Path(source)), load_huggingface),
    (lambda source: Path(source).is_dir(), load_recipe),
    (lambda source: source.endswith(".pt2"), load_exported_program),
    (lambda source: source.endswith(".onnx"), load_onnx_file),
    (lambda source: ":" in source, load_callable),
)


def load_source(source: str, request: SourceRequest) -> LoadedModel:
    """Load a model from any kind of source; noise that it draws becomes inputs with priors.

    Raises:
        SourceError: not a source, or it cannot be loaded.
        WeightsError: its weights are missing, unsafe or do not fit.
        RandomnessError: it draws noise that cannot become an input.
        InputError: an option is wrong.
    """
    for fits, load in SOURCES:
        if fits(source):
            return hoist_noise(load(source, request))
    if source.endswith(".py"):
        raise SourceError(
            f"{source} names a file but not what in it makes the model", fix=f"{source}:CALLABLE"
        )
    what = "is no kind of source that genx knows" if Path(source).exists() else "is not there"
    raise SourceError(
        f"{source} {what}",
        fix="give a folder with a recipe.toml or from Hugging Face, file.py:callable, "
        "package.module:callable, NAME.pt2 or NAME.onnx",
    )
