"""Sources that are Python: `file.py:callable` and `package.module:callable`."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from genx_export.contract import read_output
from genx_export.families import Family, find_family
from genx_export.flags import parse_output, parse_prior
from genx_export.model import LoadedModel, ModelSpec
from genx_export.randomness import MAKE_INPUT, RETURN_PARAMETERS, refuse_frozen_noise
from genx_export.sources.request import SourceRequest
from genx_export.torch_component import ModuleComponent
from genx_export.weights import apply_weights, check_tensors, load_weights
from genx_runtimes.errors import GenxError, SourceError, suggest
from genx_runtimes.manifest import OutputSpec

Build = Callable[[], object]


def load_callable(source: str, request: SourceRequest) -> LoadedModel:
    """Load `file.py:callable` or `package.module:callable`.

    The callable takes no required argument and returns an nn.Module or a `ModelSpec`.
    """
    build = find_callable(source)
    spec, warnings = build_model(source, build, request)
    family = find_family(request.family or spec.family or "generator")
    components = cut_components(spec.module, family, family.calls, list(spec.sampler.values()))
    sampler = family.describe_sampler(spec.sampler, [c.name for c in components])
    parsed = tuple(parse_prior(f"{name}={text}") for name, text in spec.priors.items())
    return LoadedModel(
        name=request.name or spec.name or source.rpartition(":")[2].lower(),
        family=family,
        sampler=sampler,
        components=components,
        output_names=family.name_outputs(sampler),
        priors=request.merge_priors(parsed),
        output=request.output or _read_output(source, spec.output),
        description=spec.description,
        reference=f"torch {torch.__version__}",
        warnings=tuple(warnings),
    )


def _read_output(source: str, given: str | Mapping[str, object] | None) -> OutputSpec | None:
    if not given:
        return None
    return (
        parse_output(given) if isinstance(given, str) else read_output(given, f"{source}: output")
    )


def find_callable(source: str, *, folder: Path | None = None) -> Build:
    """Import what `file.py:name` or `package.module:name` names.

    Args:
        source: the text.
        folder: where a relative `file.py` lies; None is the working directory.

    Raises:
        SourceError: no such file, module or callable; with a suggestion.
    """
    place, _, name = source.rpartition(":")
    module = _import_file((folder or Path()) / place) if place.endswith(".py") else _import(place)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        known = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        what = "is not callable" if found is not None else "is not there"
        raise SourceError(f"{name!r} {what} in {place}", fix=suggest(name, known))
    return found


def build_model(source: str, build: Build, request: SourceRequest) -> tuple[ModelSpec, list[str]]:
    """Build the model, load its weights, and refuse what export would silently freeze.

    Returns:
        the model and warnings.
    """
    spec = _call(source, build, seed=0)
    state: Mapping[str, torch.Tensor] = {}
    if request.weights is None:
        warnings = ["no --weights: the model is exported with the values that its code gives it"]
    else:
        state = load_weights(
            request.weights, key=request.weights_key, prefix=request.weights_prefix
        )
        warnings = apply_weights(spec.module, state)
    check_tensors(spec.module)
    learned = state or spec.module.state_dict()
    refuse_frozen_noise(spec.module, _call(source, build, seed=1).module, learned)
    return spec, warnings


def cut_components(
    module: nn.Module, family: Family, calls: Mapping[str, str], wanted: Collection[object] = ()
) -> list[ModuleComponent]:
    """Cut a module into its family's components.

    Args:
        module: the model.
        family: its family.
        calls: see `Family.calls`.
        wanted: optional components to cut; others only if they are a forward() that is there.

    Raises:
        SourceError: the module has no sub-module or method of that name.
    """
    module.eval()  # a method that is cut out below is bound to this module, not to its clone
    has_forward = type(module).forward is not nn.Module.forward
    return [
        ModuleComponent(
            name,
            _cut(module, family, path),
            MAKE_INPUT if name == family.sampled else RETURN_PARAMETERS,
        )
        for name, path in calls.items()
        if name not in family.optional or name in wanted or (not path and has_forward)
    ]


def _cut(module: nn.Module, family: Family, path: str) -> nn.Module:
    if not path:
        return module
    found: object = module
    for part in path.split("."):
        found = getattr(found, part, None)
    if isinstance(found, nn.Module):
        return found
    if not inspect.ismethod(found):
        known = [name for name, _ in module.named_children()]
        raise SourceError(
            f"family {family.name!r} needs {path!r} in {type(module).__name__}, which is not there",
            fix=suggest(path, known),
        )
    clone = copy.copy(module)  # shares the weights; only what forward() means is another
    clone.forward = found
    return clone


def _call(source: str, build: Build, *, seed: int) -> ModelSpec:
    """Call the model-making callable under a seed of its own."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = build()
    except GenxError:
        raise
    except Exception as err:  # whatever the user's code raises
        raise SourceError(
            f"{source} failed: {type(err).__name__}: {err}",
            fix="make it callable without arguments; see the traceback with: genx --debug export",
        ) from err
    spec = made if isinstance(made, ModelSpec) else None
    module = spec.module if spec else made
    if not isinstance(module, nn.Module):
        raise SourceError(
            f"{source} returned a {type(module).__name__}, expected an nn.Module",
            fix="return the model, or genx_export.ModelSpec(module=model, ...)",
        )
    return spec or ModelSpec(module=module)


def _import_file(path: Path) -> ModuleType:
    """Import a file by its path, with its own folder importable, as Python does for a script."""
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise SourceError(f"there is no file {path}", fix=suggest(path.name, near))
    folder = str(path.parent.resolve())
    name = f"_genx_source_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py file has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look modules up here
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as err:  # whatever the user's code raises
        raise SourceError(
            f"{path} cannot be imported: {type(err).__name__}: {err}",
            fix=f"try: python {path}",
        ) from err
    finally:
        sys.path.remove(folder)
    return module


def _import(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as err:  # not found, or whatever its code raises
        raise SourceError(
            f"module {name!r} cannot be imported: {type(err).__name__}: {err}",
            fix="install it here, or give file.py:callable",
        ) from err
    finally:
        sys.path.remove("")
