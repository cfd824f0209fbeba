"""Noise that forward() draws becomes inputs with priors of their own.

The module runs twice, on batches of two sizes, to learn what it draws: numbers whose shape follows
the batch become a prior each, and in the module's place stands one that takes them as inputs. So
the seed decides them, and sample i's do not depend on its batch.
"""

from __future__ import annotations

import copy
import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import torch
from torch import Tensor, nn

from genx_export import random_calls
from genx_export.model import LoadedModel
from genx_export.random_calls import NoiseKind, RandomCalls
from genx_export.torch_component import ModuleComponent
from genx_runtimes.errors import GenxError, RandomnessError, SourceError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import NormalPrior, Prior, UniformPrior
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.samplers.translate import add_images
from genx_runtimes.sampling_specs import OnePassSpec, SamplerSpec, TranslateSpec
from genx_runtimes.session import Array

# torch.export takes 0 and 1 for constants; two sizes tell the batch from what is fixed.
_SIZES = (2, 3)
_TORCH = str(Path(torch.__file__).parent)
_OWN = (__file__, random_calls.__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomCall:
    """One draw of a forward().

    Args:
        kind: from which distribution.
        shape: of all samples, (B, ...).
        dtype: of the numbers.
        path: of the sub-module that draws; "" is the module itself.
        line: of its source, as " (file.py:12 `code`)"; "" where it is not known.
    """

    kind: NoiseKind
    shape: tuple[int, ...]
    dtype: torch.dtype
    path: str
    line: str

    @property
    def name(self) -> str:
        """What drew, for people."""
        return f"{self.kind} noise{f' in {self.path!r}' if self.path else ''}{self.line}"


def hoist_noise(model: LoadedModel) -> LoadedModel:
    """Return the model with a prior for all noise that its sampled component draws.

    Loops are left alone: a prior would give each step the same noise.

    Raises:
        RandomnessError: the noise does not follow the batch, or what is drawn depends on the data.
        SourceError: a prior was given that has such an input's name and is another.
    """
    sampled = next(c for c in model.components if c.name == model.family.sampled)
    one_pass = isinstance(model.sampler, OnePassSpec)
    if not (one_pass and isinstance(sampled, ModuleComponent)):
        return model
    images = [model.sampler.image] if isinstance(model.sampler, TranslateSpec) else []
    ports = _bind(sampled, [*images, *(p.name for p in model.priors)])
    if ports is None:
        return model  # something has no prior, which feeding the model will say
    own = tuple(p for p in model.priors if p.name in ports.values())
    runs = [_discover(sampled, ports, _draw(model.sampler, own, size)) for size in _SIZES]
    if None in runs or not any(runs):
        return model
    calls = _check_calls(sampled.name, *(run or [] for run in runs))
    taken = {*sampled.parameters, *ports.values(), model.output.name if model.output else ""}
    priors = _make_priors(calls, taken)
    given = {p.name: p for p in model.priors if p not in own}
    for prior, call in zip(priors, calls, strict=True):
        if given.pop(prior.name, prior) != prior:
            raise SourceError(
                f"prior {prior.name!r} feeds {call.name} and is another: expected {prior.kind}, "
                f"{_size(prior)}",
                fix="leave it out: this noise gets a prior by itself",
            )
    module = _replay_module(sampled.module, ports, calls, [p.name for p in priors])
    hoisted = sampled.replace_module(module)
    return replace(
        model,
        components=[hoisted if c is sampled else c for c in model.components],
        priors=(*own, *priors, *given.values()),
        warnings=(*model.warnings, *_tell(calls, priors)),
    )


def _bind(component: ModuleComponent, names: Sequence[str]) -> dict[str, str] | None:
    """Return {parameter: name}: the same, or the first to the only one; None if one has none.

    Args:
        component: whose parameters are fed.
        names: of the image of an image-to-image model and of the priors, in this order.
    """
    required = [name for name, needed in component.parameters.items() if needed]
    found = {name: name for name in component.parameters if name in names}
    if len(required) == 1 and names and not found:
        return {required[0]: names[0]}
    return found if found and set(required) <= set(found) else None


def _draw(sampler: SamplerSpec, priors: Sequence[Prior], size: int) -> Mapping[str, Array]:
    """Return inputs (B, ...) for a batch, by name: other samples for each size."""
    indices = range(size, 2 * size)
    feeds = LatentSource(priors, 0).draw(indices)
    return add_images(sampler, Draw(seed=0, indices=indices, feeds=feeds)).feeds


def _discover(
    component: ModuleComponent, ports: Mapping[str, str], drawn: Mapping[str, Array]
) -> list[RandomCall] | None:
    """Run the module and return what it draws; None if it fails, which running it will say."""
    feeds = {name: torch.from_numpy(drawn[prior]) for name, prior in ports.items()}
    calls: list[RandomCall] = []
    with _watch_paths(component.module) as path, torch.random.fork_rng(devices=[]):

        def record(kind: NoiseKind, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
            line = _user_line()
            calls.append(
                RandomCall(kind=kind, shape=tuple(shape), dtype=dtype, path=path[-1], line=line)
            )
            return (torch.randn if kind == "normal" else torch.rand)(tuple(shape), dtype=dtype)

        try:
            with torch.inference_mode(), RandomCalls(record):
                component.module(**feeds)
        except Exception:
            return None
    return calls


@contextmanager
def _watch_paths(module: nn.Module) -> Iterator[list[str]]:
    """Yield a list whose last item is the path of the sub-module that is running."""
    running = [""]
    hooks = []
    for path, part in module.named_modules():
        if path:
            hooks.append(part.register_forward_pre_hook(lambda *_, p=path: running.append(p)))
            hooks.append(part.register_forward_hook(lambda *_: running.pop() and None))
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()


def _check_calls(
    component: str, first: Sequence[RandomCall], second: Sequence[RandomCall]
) -> Sequence[RandomCall]:
    """Return the draws, if they are the same in both runs but for the batch, which comes first."""
    for i in range(max(len(first), len(second))):
        a, b = (run[i] if i < len(run) else None for run in (first, second))
        if a is None or b is None or (a.kind, a.path, a.line) != (b.kind, b.path, b.line):
            call = a or b
            assert call is not None
            raise RandomnessError(
                f"component {component!r} draws {call.name} for some samples and not for others",
                fix="draw the same numbers whatever the data, and choose among them afterwards",
            )
        batches = (a.shape[:1], b.shape[:1])
        if batches != tuple((size,) for size in _SIZES) or a.shape[1:] != b.shape[1:]:
            raise RandomnessError(
                f"component {component!r} draws {a.name} of shape {a.shape} for a batch of "
                f"{_SIZES[0]} and {b.shape} for {_SIZES[1]}: expected the batch first, so that "
                f"each sample has its own",
                fix="draw torch.randn(z.shape[0], ...), or register_buffer() what is shared",
            )
    return first


def _make_priors(calls: Sequence[RandomCall], taken: set[str]) -> list[NormalPrior | UniformPrior]:
    """Return a prior for each draw, called after the sub-module that draws."""
    priors: list[NormalPrior | UniformPrior] = []
    for call in calls:
        name = _name(call.path, taken)
        taken.add(name)
        if call.kind == "normal":
            priors.append(NormalPrior(name=name, shape=call.shape[1:]))
        else:
            priors.append(UniformPrior(name=name, shape=call.shape[1:], low=0.0, high=1.0))
    return priors


def _name(path: str, taken: set[str]) -> str:
    """Return `layers_0_noise` for layers.0 and layers.0.noise, numbered where that is taken."""
    stem = re.sub(r"\W", "_", path)
    base = stem if stem.endswith("noise") else f"{stem}_noise"
    if not base.isidentifier():
        base = f"noise_{stem}"
    numbered = (f"{base if path else 'noise'}_{k}" for k in count(1 if path else 0))
    return next(name for name in chain([base] if path else [], numbered) if name not in taken)


def _replay_module(
    module: nn.Module, ports: Mapping[str, str], calls: Sequence[RandomCall], names: Sequence[str]
) -> nn.Module:
    """Return the module with its noise as further inputs.

    Args:
        module: shares its weights with what is returned.
        ports: {own parameter: the name that it has now}.
        calls: what it draws.
        names: of the input that each of these becomes.
    """
    original: Callable[..., object] = module.forward

    def forward(**feeds: Tensor) -> object:
        noise = iter([(call, feeds[name]) for call, name in zip(calls, names, strict=True)])

        def replay(kind: NoiseKind, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
            call, given = next(noise, (None, None))
            if (
                call is None
                or given is None
                or (call.kind, call.dtype) != (kind, dtype)
                or tuple(shape[1:]) != tuple(given.shape[1:])
            ):
                raise _changed(call)
            return given if given.dtype == dtype else given.to(dtype)

        with RandomCalls(replay):
            made = original(**{name: feeds[port] for name, port in ports.items()})
        missed = next(noise, None)
        if missed:
            raise _changed(missed[0])
        return made

    parameter = inspect.Parameter
    inputs = [parameter(n, parameter.KEYWORD_ONLY) for n in (*ports.values(), *names)]
    forward.__signature__ = inspect.Signature(inputs)  # type: ignore[attr-defined]
    clone = copy.copy(module)  # shares the weights; only forward() is another
    clone.forward = forward
    return clone


def _changed(call: RandomCall | None) -> GenxError:
    what = call.name if call else "more noise than before"
    return RandomnessError(
        f"forward() draws other numbers than when it was tried: {what}",
        fix="draw the same numbers whatever the data, and choose among them afterwards",
    )


def _tell(calls: Sequence[RandomCall], priors: Sequence[NormalPrior | UniformPrior]) -> list[str]:
    """Return a sentence for each source line that drew."""
    found: dict[str, list[str]] = {}
    for call, prior in zip(calls, priors, strict=True):
        found.setdefault(call.line, []).append(f"{prior.name} ({prior.kind}, {_size(prior)})")
    return [
        f"noise that forward() draws{line} is an input now, drawn from its own prior by the seed: "
        f"{', '.join(made)}"
        for line, made in found.items()
    ]


def _size(prior: NormalPrior | UniformPrior) -> str:
    return "x".join(map(str, prior.shape)) or "one number"


def _user_line() -> str:
    """Return " (file.py:12 `code`)" for the innermost frame outside torch and this file."""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename not in _OWN and not frame.filename.startswith(_TORCH):
            code = f" `{frame.line}`" if frame.line else ""
            return f" ({Path(frame.filename).name}:{frame.lineno}{code})"
    return ""
