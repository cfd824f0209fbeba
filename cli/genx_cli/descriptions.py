"""What a bundle draws, runs and makes, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genx_runtimes.manifest import CategoricalPrior, ConstantPrior, UniformPrior
from genx_runtimes.sampling_specs import (
    DiffusionSpec,
    PixelsSpec,
    RecurrentSpec,
    TokensSpec,
    TranslateSpec,
)

if TYPE_CHECKING:
    from genx_runtimes.manifest import OutputSpec, Prior, TensorSpec
    from genx_runtimes.sampling_specs import SamplerSpec, Schedule, StateSpec


def describe_prior(prior: Prior) -> str:
    """Return what is drawn for an input."""
    if isinstance(prior, CategoricalPrior):
        labels = ", ".join(prior.labels) or f"0 to {prior.classes - 1}"
        return f"{prior.name}: one of {prior.classes} classes ({labels})"
    shape = " x ".join(map(str, prior.shape)) or "1"
    if isinstance(prior, ConstantPrior):
        return f"{prior.name}: {prior.value:g} unless set, {prior.low:g} to {prior.high:g}"
    if isinstance(prior, UniformPrior):
        return f"{prior.name}: {shape} uniform values in {prior.low:g} to {prior.high:g}"
    return f"{prior.name}: {shape} standard normal values"


def describe_output(output: OutputSpec) -> str:
    """Return what one sample is."""
    parts: list[str] = [output.kind]
    if output.kind == "image":
        parts += ["grey, the rows a sequence"] if output.layout == "NHW" else []
        parts += [f"{output.bits} bits a channel"] if output.bits != 8 else []
    if output.kind == "audio":
        parts.append(f"{output.sample_rate} Hz")
    if output.range is not None:
        parts.append(f"values {output.range[0]:g} to {output.range[1]:g}")
    if output.columns:
        parts.append(f"columns {', '.join(output.columns)}")
    if output.vocabulary:
        parts.append(f"vocabulary of {len(output.vocabulary)}")
    return f"{output.name}: {', '.join(parts)}"


def describe_sampler(sampler: SamplerSpec) -> str:
    """Return what runs, and how often."""
    parts = [f"{sampler.kind}: {sampler.component}"]
    if isinstance(sampler, TranslateSpec):
        channels, height, width = sampler.tile
        colours = {1: "grey", 3: "RGB", 4: "RGBA"}[channels]
        parts.append(
            f"{colours} pictures of any size, in tiles of {height} x {width} that share "
            f"{sampler.overlap} pixels"
        )
        parts += [f"made {sampler.scale} x as large"] if sampler.scale != 1 else []
    elif isinstance(sampler, RecurrentSpec):
        parts.append(f"{sampler.length} steps")
        parts += [f"or all at once in {sampler.whole}"] if sampler.whole else []
        parts.append(_describe_states(sampler.states))
    elif isinstance(sampler, TokensSpec):
        parts += [f"looks back on {sampler.length} tokens", f"temperature {sampler.temperature:g}"]
        parts.append(_describe_states(sampler.states))
        parts += [f"stops at {', '.join(map(str, sampler.stop))}"] if sampler.stop else []
    elif isinstance(sampler, PixelsSpec):
        size = " x ".join(map(str, sampler.shape))
        parts += [f"a step for each of {size} pixels", f"{sampler.row} for each row"]
        parts += [f"{sampler.levels} levels", f"temperature {sampler.temperature:g}"]
        parts.append(_describe_states(sampler.states))
    elif isinstance(sampler, DiffusionSpec):
        parts += [f"{sampler.steps} steps of {sampler.solver}", f"predicts {sampler.prediction}"]
        parts.append(_describe_schedule(sampler.schedule))
        if sampler.guidance is not None:
            guidance = sampler.guidance
            parts.append(f"guided by {guidance.condition}, weight {guidance.default:g}")
        parts += [f"then {sampler.decoder}"] if sampler.decoder else []
    else:
        parts.append("one pass")
    return ", ".join(filter(None, parts))


def describe_port(port: TensorSpec) -> str:
    """Return an input or output of a graph."""
    return f"{port.name} {port.dtype}({', '.join(map(str, port.shape))})"


def _describe_states(states: tuple[StateSpec, ...]) -> str:
    if not states:
        return ""
    named = (
        f"{s.name} {'x'.join(map(str, s.shape))}{'' if s.grows is None else ', growing'}"
        for s in states
    )
    return f"states ({'; '.join(named)})"


def _describe_schedule(schedule: Schedule) -> str:
    if schedule.kind == "flow":
        return "a straight flow"
    return f"{schedule.kind} schedule of {schedule.train_steps} steps"
