"""What a manifest must not contradict: what JSON types alone cannot exclude.

A manifest comes from strangers: what it says is bounded before anything is allocated by it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from genx_runtimes.manifest import LOOP, ComponentSpec, GoldenSpec, Manifest, OutputSpec, TensorSpec
from genx_runtimes.noise import LIMIT
from genx_runtimes.prior_checks import list_prior_problems
from genx_runtimes.sampler_checks import (
    MAX_VALUES,
    list_sequence_problems,
    list_value_problems,
)
from genx_runtimes.sampling_specs import PixelsSpec, RecurrentSpec, TokensSpec
from genx_runtimes.wiring_checks import list_wiring_problems

# Above the rates of sound hardware; a quarter of a second of silence is written between samples.
MAX_SAMPLE_RATE = 1_000_000
MAX_BATCH = 2**31 - 1
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_DTYPES = frozenset(
    {"bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64"}
    | {"uint8", "uint16", "uint32", "uint64"}
)


def list_contradictions(manifest: Manifest) -> list[str]:
    """List what JSON types alone cannot exclude; the first stands for those that follow from it."""
    problems = [*_check_head(manifest), *_check_components(manifest)]
    if problems:
        return problems
    sampler, names = manifest.sampler, [c.name for c in manifest.components]
    problems += check_output(manifest.output)
    problems += list_value_problems(sampler)
    run = [manifest.component(name) for name in sampler.components]
    problems += list_prior_problems(manifest.priors, run)
    if isinstance(sampler, TokensSpec):
        problems += _check_vocabulary(sampler, manifest.output, run[0])
    if isinstance(sampler, PixelsSpec) and manifest.output.range is None:
        problems.append("pixels need an output with a range [low, high]")
    if isinstance(sampler, RecurrentSpec):
        problems += list_sequence_problems(sampler, manifest.priors)
        if not problems:
            problems += _check_axis(sampler, run[0], manifest.output)
    if not problems:
        problems += list_wiring_problems(manifest)
    problems += _check_golden(manifest.golden, manifest.batch.min)
    problems += _check_variants(manifest, names)
    return problems


def check_output(output: OutputSpec) -> list[str]:
    """List what an output contract lacks or contradicts."""
    problems = []
    if output.range is None:
        if output.kind in ("image", "audio"):
            problems.append(f"an {output.kind} output needs a range [low, high] with low < high")
    elif not (
        output.range[0] < output.range[1] and math.isfinite(output.range[1] - output.range[0])
    ):
        problems.append(f"{output.noun} output needs a range [low, high] with low < high")
    if output.kind == "audio" and not 1 <= (output.sample_rate or 0) <= MAX_SAMPLE_RATE:
        problems.append(
            f"an audio output needs a sample_rate in Hz, 1 to {MAX_SAMPLE_RATE}, got "
            f"{output.sample_rate}"
        )
    if output.kind == "text" and not output.vocabulary:
        problems.append("a text output needs a vocabulary: the text of each token")
    if len(set(output.columns)) != len(output.columns):
        problems.append(f"columns {list(output.columns)} have a name twice")
    return problems


def _check_head(manifest: Manifest) -> Iterator[str]:
    if not _NAME.fullmatch(manifest.name):
        yield f"name {manifest.name!r} has characters other than A-Z a-z 0-9 . _ -"
    if manifest.format_version < 1:
        yield f"format_version is {manifest.format_version}, expected 1 or more"
    bounds = manifest.batch
    if not 1 <= bounds.min <= bounds.max <= MAX_BATCH:
        yield f"batch {bounds.min}..{bounds.max} is not a range from 1 to {MAX_BATCH}"


def _check_components(manifest: Manifest) -> Iterator[str]:
    """Yield components that are missing, or that no graph could be."""
    names = [component.name for component in manifest.components]
    for name in manifest.sampler.components:
        if name not in names:
            yield f"the sampler runs component {name!r}, not present"
    yield from _check_names("component", names)
    if LOOP in names:
        yield f"a component is called {LOOP!r}, which stands for the sampling loop as a whole"
    if len(set(manifest.sampler.components)) != len(manifest.sampler.components):
        yield f"the sampler runs one component in two places: {list(manifest.sampler.components)}"
    for component in manifest.components:
        yield from _check_component(component)


def _check_component(component: ComponentSpec) -> Iterator[str]:
    for side, ports in (("inputs", component.inputs), ("outputs", component.outputs)):
        if not ports:
            yield f"component {component.name!r} has no {side}"
        twice = [name for name, times in Counter(p.name for p in ports).items() if times > 1]
        if twice:
            yield f"component {component.name!r} has {side} {twice} twice"
        for port in ports:
            yield from _check_port(component.name, port)


def _check_port(component: str, port: TensorSpec) -> Iterator[str]:
    place = f"{port.name!r} of {component!r}"
    sizes = [size for size in port.shape if isinstance(size, int)]
    if port.dtype not in _DTYPES:
        yield f"{place} has dtype {port.dtype!r}, expected a number's"
    if port.shape[:1] != ("batch",):
        yield f"{place} has shape {list(port.shape)}, expected 'batch' first"
    elif not all(size >= 1 for size in sizes) or math.prod(sizes) > MAX_VALUES:
        yield (
            f"{place} has shape {list(port.shape)}, expected sizes of 1 or more, {MAX_VALUES} "
            f"values a sample at most"
        )


def _check_names(what: str, names: Sequence[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if not _NAME.fullmatch(name) or name in (".", ".."):
            yield f"{what} {name!r} has characters other than A-Z a-z 0-9 . _ -"
        if times > 1:
            yield f"{what} {name!r} is there twice"


def _check_vocabulary(
    sampler: TokensSpec, output: OutputSpec, step: ComponentSpec
) -> Iterator[str]:
    """Yield where a token loop's logits, vocabulary, start and stop do not fit together."""
    size, known = step.outputs[0].shape[-1], len(output.vocabulary)
    if output.kind == "text" and known != size:
        yield f"the vocabulary has {known} tokens, the logits of {step.name!r} {size}"
    if isinstance(size, int):
        for token in (sampler.start, *sampler.stop):
            if not 0 <= token < size:
                yield f"token {token} of start or stop is not in a vocabulary of {size}"


def _check_axis(sampler: RecurrentSpec, step: ComponentSpec, output: OutputSpec) -> Iterator[str]:
    """Yield where the elements of a sequence cannot be joined, or are too many."""
    for port in step.outputs:
        if port.name != output.name:
            continue
        element = port.shape[1:]
        if sampler.axis > len(element):
            yield f"axis is {sampler.axis}, expected 0 to {len(element)}, the element's axes"
        if sampler.length * math.prod(d for d in element if isinstance(d, int)) > MAX_VALUES:
            yield (
                f"length is {sampler.length}: {port.name!r} would have more than {MAX_VALUES} "
                f"values a sample"
            )


def _check_golden(golden: GoldenSpec, least: int) -> Iterator[str]:
    if golden.count < 1 or golden.count % least:
        yield f"golden has count {golden.count}, expected a multiple of the smallest batch, {least}"
    if not 0 <= golden.seed < LIMIT:
        yield f"golden has seed {golden.seed}, expected 0 to 2^64 - 1"


def _check_variants(manifest: Manifest, components: Sequence[str]) -> Iterator[str]:
    if not manifest.variants:
        yield "there is no variant"
    yield from _check_names("variant", [variant.name for variant in manifest.variants])
    for variant in manifest.variants:
        if sorted(variant.graphs) != sorted(components):
            yield (
                f"variant {variant.name!r} has graphs for {sorted(variant.graphs)}, expected "
                f"{sorted(components)}"
            )
