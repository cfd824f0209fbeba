"""Running all components of a model on chosen latents: who is fed by what.

The sampled component is fed by the priors; in a sampling loop, the components that it runs are fed
by it. Any other is fed by the like-named outputs of those that ran before it: a VAE's encoder gets
the `image` that its decoder made, so no data is needed. An image-to-image model is fed with images
that are given, or random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from genx_export.families.family import OUTPUT
from genx_export.loop_feeding import LoopRun, call_component, run_loop
from genx_export.model import Component, LoadedModel
from genx_runtimes.errors import SourceError, TraceError, suggest
from genx_runtimes.manifest import ComponentSpec, Role, TensorSpec
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.sampling_specs import OnePassSpec, TranslateSpec
from genx_runtimes.session import Array

_NOTHING: Mapping[str, Array] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class FedComponent:
    """A component with the inputs it was given and what it made of them.

    Args:
        component: what ran.
        ports: {its own parameter name: the name that the bundle gives this input}.
        feeds: inputs (B, ...) by parameter name.
        outputs: outputs (B, ...) by the bundle's names, in the component's order.
        roles: of the inputs, by the bundle's names.
    """

    component: Component
    ports: Mapping[str, str]
    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]
    roles: Mapping[str, Role]

    def describe(self) -> ComponentSpec:
        """Return what the manifest says of it."""
        named = {self.ports[parameter]: array for parameter, array in self.feeds.items()}
        return ComponentSpec(
            name=self.component.name,
            inputs=tuple(_describe(n, a, self.roles[n]) for n, a in named.items()),
            outputs=tuple(_describe(n, a, "output") for n, a in self.outputs.items()),
        )


def run_model_loop(
    model: LoadedModel, draw: Draw, *, size: int, max_batch: int, wanted: int | None = None
) -> LoopRun | None:
    """Run the original model's sampling loop, see `run_loop`; None where one pass is all.

    Raises:
        SourceError: a prior has no input, or the components do not take what the loop gives.
        InputError: the sampler's own settings cannot be met.
    """
    if isinstance(model.sampler, OnePassSpec):
        return None
    contract = model.contract
    calls, takes = {}, {}
    for component in model.components:
        takes[component.name] = component.parameters
        names = model.output_names.get(component.name, ())
        calls[component.name] = call_component(
            component, [contract.name if name == OUTPUT else name for name in names]
        )
    run = model.sampler.components
    for prior in model.priors:
        if not any(prior.name in takes.get(name, ()) for name in run):
            raise _explain_idle(prior.name, [c for c in model.components if c.name in run])
    return run_loop(
        model.sampler,
        model.priors,
        contract,
        calls,
        takes,
        draw,
        size=size,
        max_batch=max_batch,
        wanted=wanted,
    )


def feed_components(
    model: LoadedModel,
    latents: Mapping[str, Array],
    *,
    size: int,
    given: Mapping[str, Array] = _NOTHING,
    loop: LoopRun | None = None,
) -> list[FedComponent]:
    """Run every component of the original model.

    Args:
        model: the model.
        latents: an array (B, ...) for each prior, and for the image of an image-to-image model.
        size: samples a pass.
        given: inputs (B, ...) that take the place of a prior or of an output that would feed them.
        loop: what `run_model_loop` made of these latents.

    Returns:
        the components in the model's order.

    Raises:
        SourceError: an input has no prior, a prior has no input, shapes do not fit.
        TraceError: an output's first dimension is not the batch.
    """
    sampled = model.family.sampled
    waiting = sorted(model.components, key=lambda c: c.name != sampled)
    fed: dict[str, FedComponent] = {}
    made: dict[str, Array] = {}
    if loop is not None:
        fed = _take_calls(model, loop)
        waiting = [c for c in waiting if c.name not in fed]
        made[model.contract.name] = loop.output
    while waiting:
        ready = [c for c in waiting if (loop is None and c.name == sampled) or _is_fed(c, made)]
        if not ready:
            raise _explain_unfed(waiting[0], made)
        component = ready[0]
        waiting.remove(component)
        is_sampled = component.name == sampled
        sources = latents if is_sampled else made
        ports = (
            _bind_priors(component, list(latents)) if is_sampled else _bind_data(component, made)
        )
        feeds = {parameter: given.get(port, sources[port]) for parameter, port in ports.items()}
        outputs = run_in_batches(component, feeds, size)
        named = dict(
            zip(_name_outputs(model, component, list(outputs)), outputs.values(), strict=True)
        )
        _check_batch_first(component, named, len(next(iter(feeds.values()))))
        role: Role = "prior" if is_sampled else "data"
        image = model.sampler.image if isinstance(model.sampler, TranslateSpec) else None
        fed[component.name] = FedComponent(
            component=component,
            ports=ports,
            feeds=feeds,
            outputs=named,
            roles={port: "data" if port == image else role for port in ports.values()},
        )
        made |= named
    return [fed[component.name] for component in model.components]


def _take_calls(model: LoadedModel, loop: LoopRun) -> dict[str, FedComponent]:
    """Return the components that the loop ran, with the calls that were kept of them."""
    priors = {prior.name for prior in model.priors}
    fed = {}
    for component in model.components:
        feeds = loop.feeds.get(component.name)
        if feeds is None:
            continue
        outputs = loop.outputs[component.name]
        _check_batch_first(component, outputs, len(next(iter(feeds.values()))))
        fed[component.name] = FedComponent(
            component=component,
            ports={name: name for name in feeds},
            feeds=feeds,
            outputs=outputs,
            roles={name: "prior" if name in priors else "loop" for name in feeds},
        )
    return fed


def run_in_batches(component: Component, feeds: Mapping[str, Array], size: int) -> dict[str, Array]:
    """Run a component on (B, ...) inputs, `size` samples a pass."""
    count = len(next(iter(feeds.values())))
    parts = [
        component.run({name: array[first : first + size] for name, array in feeds.items()})
        for first in range(0, count, size)
    ]
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        if any(not array.ndim for array in part.values()):
            return parts[0]  # no batch dimension to join on; the caller's check says so
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _bind_priors(component: Component, priors: Sequence[str]) -> dict[str, str]:
    """Return {parameter: prior}: by name, or the only one to the only one."""
    parameters = component.parameters
    required = [name for name, needed in parameters.items() if needed]
    if len(priors) == 1 and len(required or parameters) == 1:
        return {(required or list(parameters))[0]: priors[0]}
    for name in required:
        if name not in priors:
            raise SourceError(
                f"input {name!r} of component {component.name!r} has no prior",
                fix=f"add --prior {name}=normal:SHAPE or --prior {name}=categorical:CLASSES",
            )
    for name in priors:
        if name not in parameters:
            raise _explain_idle(name, [component])
    return {name: name for name in parameters if name in priors}


def _explain_idle(prior: str, components: Sequence[Component]) -> SourceError:
    named = " or ".join(repr(c.name) for c in components)
    return SourceError(
        f"prior {prior!r} feeds nothing: no such input in {named}",
        fix=suggest(prior, [name for c in components for name in c.parameters]),
    )


def _bind_data(component: Component, made: Mapping[str, Array]) -> dict[str, str]:
    return {name: name for name in component.parameters if name in made}


def _is_fed(component: Component, made: Mapping[str, Array]) -> bool:
    needed = [name for name, required in component.parameters.items() if required]
    return bool(needed) and all(name in made for name in needed)


def _explain_unfed(component: Component, made: Mapping[str, Array]) -> SourceError:
    missing = [n for n, required in component.parameters.items() if required and n not in made]
    return SourceError(
        f"input {missing[0]!r} of component {component.name!r} is fed by nothing",
        fix=f"call it like an output of another component: {', '.join(made)}",
    )


def _name_outputs(model: LoadedModel, component: Component, own: list[str]) -> list[str]:
    """Return the bundle's names for a component's outputs: the source's, else the model's own.

    An output contract whose name is not among them names the sampled component's first output.
    """
    given = model.output_names.get(component.name, ())
    if given and len(given) != len(own):
        raise SourceError(
            f"component {component.name!r} has {len(own)} outputs, {len(given)} names were given: "
            f"{', '.join(given)}",
            fix="give a name to each output in the recipe",
        )
    names = list(given) or own
    if component.name == model.family.sampled and model.output and model.output.name not in names:
        names[0] = model.output.name
    return names


def _check_batch_first(component: Component, outputs: Mapping[str, Array], batch: int) -> None:
    for name, array in outputs.items():
        if not array.ndim or array.shape[0] != batch:
            raise TraceError(
                f"output {name!r} of component {component.name!r} has shape {array.shape}, "
                f"expected the batch of {batch} first",
                fix="return one sample for each row of the inputs from forward()",
            )


def _describe(name: str, array: Array, role: Role) -> TensorSpec:
    return TensorSpec(
        name=name, dtype=array.dtype.name, shape=("batch", *array.shape[1:]), role=role
    )
