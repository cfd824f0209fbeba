"""Sources that are folders with a recipe.toml.

    name = "dcgan"
    family = "generator"
    model = "model.py:Generator"
    weights = "weights.safetensors"

    [priors.z]
    kind = "normal"
    shape = [64]

    [output]
    name = "image"
    kind = "image"
    range = [-1.0, 1.0]

    [images]                      # real images for an input that takes them: a folder, or an .npz
    image = "examples.npz"

    [sampler]                     # what the loop of the family needs to know
    steps = 20

    [components.decoder]          # optional: other names than the family's own
    call = "decoder"
    outputs = ["image"]

Source: docs/recipe.md.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import msgspec
import torch

from genx_export.contract import read_output
from genx_export.families import find_family
from genx_export.model import LoadedModel
from genx_export.sources.python_callable import build_model, cut_components, find_callable
from genx_export.sources.request import SourceRequest
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import OutputSpec, Prior

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPE = "recipe.toml"


class _Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one component is found in the model, and what its outputs are called."""

    call: str | None = None
    outputs: tuple[str, ...] = ()


class _Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of recipe.toml; unknown fields are refused, so that a misspelt one is noticed."""

    model: str
    name: str | None = None
    description: str = ""
    family: str = "generator"
    weights: str | None = None
    weights_key: str | None = None
    weights_prefix: str = ""
    priors: dict[str, dict[str, object]] = {}
    output: dict[str, object] = {}
    components: dict[str, _Call] = {}
    sampler: dict[str, object] = {}
    images: dict[str, str] = {}


def load_recipe(source: str, request: SourceRequest) -> LoadedModel:
    """Load the model that a folder's recipe.toml describes; options of the request come first.

    Raises:
        SourceError: no recipe, or it is malformed; the message names the field.
    """
    folder = Path(source)
    recipe = _read(folder / RECIPE)
    family = find_family(request.family or recipe.family)
    unknown = sorted(set(recipe.components) - set(family.calls))
    if unknown:
        raise SourceError(
            f"{folder / RECIPE}: family {family.name!r} has no component {unknown[0]!r}",
            fix=f"it has {', '.join(family.calls)}",
        )
    asked = dataclasses.replace(
        request,
        weights=request.weights or (folder / recipe.weights if recipe.weights else None),
        weights_key=request.weights_key or recipe.weights_key,
        weights_prefix=request.weights_prefix or recipe.weights_prefix,
    )
    build = find_callable(recipe.model, folder=folder)
    spec, warnings = build_model(f"{folder}/{recipe.model}", build, asked)
    calls = {name: recipe.components.get(name, _Call()).call for name in family.calls}
    outputs = {name: c.outputs for name, c in recipe.components.items() if c.outputs}
    own = tuple(_to_prior(folder / RECIPE, n, fields) for n, fields in recipe.priors.items())
    components = cut_components(
        spec.module,
        family,
        {n: family.calls[n] if call is None else call for n, call in calls.items()},
        [*recipe.components, *recipe.sampler.values()],
    )
    sampler = family.describe_sampler(recipe.sampler, [c.name for c in components])
    return LoadedModel(
        name=request.name or recipe.name or folder.resolve().name,
        family=family,
        sampler=sampler,
        components=components,
        output_names={**family.name_outputs(sampler), **outputs},
        priors=request.merge_priors(own),
        output=request.output or _read_output(folder, recipe.output),
        images={name: folder / path for name, path in recipe.images.items()},
        description=recipe.description,
        reference=f"torch {torch.__version__}",
        warnings=tuple(warnings),
    )


def _read(path: Path) -> _Recipe:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Recipe)
    except FileNotFoundError as err:
        raise SourceError(
            f"there is no {path}", fix="write one: see docs/recipe.md, or give file.py:callable"
        ) from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as err:
        raise SourceError(f"{path}: {err}", fix="see docs/recipe.md") from err


def _read_output(folder: Path, fields: dict[str, object]) -> OutputSpec | None:
    """Return the output contract; a vocabulary that is a text names a JSON file in the folder."""
    if not fields:
        return None
    vocabulary = fields.get("vocabulary")
    if isinstance(vocabulary, str):
        fields = {**fields, "vocabulary": _read_vocabulary(folder / vocabulary)}
    return read_output(fields, f"{folder / RECIPE}: output")


def _read_vocabulary(path: Path) -> list[str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except OSError as err:
        raise SourceError(
            f"the vocabulary {path} cannot be read: {err.strerror}",
            fix="write a JSON list of strings, the text of each token",
        ) from err
    except msgspec.MsgspecError as err:
        raise SourceError(
            f"the vocabulary {path} is not a JSON list of strings: {err}",
            fix="list the text of each token, in order",
        ) from err


def _to_prior(path: Path, name: str, fields: dict[str, object]) -> Prior:
    try:
        prior: Prior = msgspec.convert({**fields, "name": name}, Prior)
    except msgspec.ValidationError as err:
        raise SourceError(f"{path}: priors.{name}: {err}", fix="see docs/recipe.md") from err
    return prior
