"""What a manifest must not contradict: what JSON types alone cannot exclude."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genx_runtimes.manifest import (
    CategoricalPrior,
    ComponentSpec,
    ConstantPrior,
    Manifest,
    OutputSpec,
    Prior,
)
from genx_runtimes.sampling_specs import OnePassSpec, TokensSpec, TranslateSpec


def list_contradictions(manifest: Manifest) -> list[str]:
    """List what JSON types alone cannot exclude."""
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9._-]+", manifest.name):
        problems.append(f"name {manifest.name!r} has characters other than A-Z a-z 0-9 . _ -")
    names = [c.name for c in manifest.components]
    if manifest.format_version < 1:
        problems.append(f"format_version is {manifest.format_version}, expected 1 or more")
    if not 1 <= manifest.batch.min <= manifest.batch.max:
        problems.append(f"batch {manifest.batch.min}..{manifest.batch.max} is not a range from 1")
    problems += [
        f"the sampler runs component {name!r}, not present"
        for name in manifest.sampler.components
        if name not in names
    ]
    if problems:
        return problems
    run = [manifest.component(name) for name in manifest.sampler.components]
    problems += check_output(manifest.output)
    problems += _list_sampler_problems(manifest, run[0])
    problems += _list_prior_problems(manifest.priors, run)
    if not manifest.variants:
        problems.append("there is no variant")
    problems += [
        f"variant {v.name!r} has graphs for {sorted(v.graphs)}, expected {sorted(names)}"
        for v in manifest.variants
        if sorted(v.graphs) != sorted(names)
    ]
    return problems


def check_output(output: OutputSpec) -> list[str]:
    """List what an output contract lacks or contradicts."""
    problems = []
    if output.kind in ("image", "audio") and (
        output.range is None or not output.range[0] < output.range[1]
    ):
        problems.append(f"an {output.kind} output needs a range [low, high] with low < high")
    if output.kind == "audio" and not 1 <= (output.sample_rate or 0) < 2**31:
        problems.append(f"an audio output needs a sample_rate in Hz, got {output.sample_rate}")
    if output.kind == "text" and not output.vocabulary:
        problems.append("a text output needs a vocabulary: the text of each token")
    if len(set(output.columns)) != len(output.columns):
        problems.append(f"columns {list(output.columns)} have a name twice")
    return problems


def _list_sampler_problems(manifest: Manifest, first: ComponentSpec) -> list[str]:
    """List where the fields of a sampler do not fit the component that it runs first."""
    sampler, output, problems = manifest.sampler, manifest.output, []
    one_pass = isinstance(sampler, OnePassSpec)
    if one_pass and output.name not in [t.name for t in first.outputs]:
        problems.append(f"output {output.name!r} is no output of {first.name!r}")
    if isinstance(sampler, TokensSpec):
        problems += _list_token_problems(sampler, output, first)
    if isinstance(sampler, TranslateSpec):
        problems += sampler.find_problems()
        shapes = {t.name: t.shape[1:] for t in first.inputs}
        if shapes.get(sampler.image) != sampler.tile:
            problems.append(
                f"{first.name!r} has no input {sampler.image!r} of the tile's shape {sampler.tile}"
            )
    return problems


def _list_prior_problems(priors: Sequence[Prior], run: Sequence[ComponentSpec]) -> list[str]:
    """List priors that contradict themselves or the inputs of the components that they feed."""
    problems = []
    names = [p.name for p in priors]
    needed = {t.name for component in run for t in component.inputs if t.role == "prior"}
    if sorted(names) != sorted(needed):
        problems.append(
            f"priors {names} do not match the inputs {sorted(needed)} of {run[0].name!r}"
        )
    for prior in priors:
        if isinstance(prior, CategoricalPrior) and (
            prior.classes < 1 or len(prior.labels) not in (0, prior.classes)
        ):
            problems.append(
                f"prior {prior.name!r}: {len(prior.labels)} labels, {prior.classes} classes"
            )
        if isinstance(prior, ConstantPrior) and not prior.low <= prior.value <= prior.high:
            problems.append(
                f"prior {prior.name!r}: {prior.value:g} is not in {prior.low:g}..{prior.high:g}"
            )
    return problems


def _list_token_problems(sampler: TokensSpec, output: OutputSpec, step: ComponentSpec) -> list[str]:
    """List where the fields of a token loop do not fit its step and its vocabulary."""
    size, known = step.outputs[0].shape[-1], len(output.vocabulary)
    problems = []
    if output.kind == "text" and known != size:
        problems.append(f"the vocabulary has {known} tokens, the logits of {step.name!r} {size}")
    if isinstance(size, int):
        problems += [
            f"token {token} of start or stop is not in a vocabulary of {size}"
            for token in (sampler.start, *sampler.stop)
            if not 0 <= token < size
        ]
    if sampler.length < 1:
        problems.append(f"length is {sampler.length}, expected 1 or more")
    inputs = {t.name: t.shape[1:] for t in step.inputs}
    for state in sampler.states:
        if inputs.get(state.name) != state.shape:
            problems.append(f"state {state.name!r} is no input of {step.name!r} of that shape")
        elif state.grows is not None and not (
            0 <= state.grows < len(state.shape) and state.shape[state.grows] >= sampler.length
        ):
            problems.append(f"state {state.name!r} cannot grow to {sampler.length} along an axis")
    return problems
