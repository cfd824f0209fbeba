"""What a manifest says of its priors that cannot be, by themselves and as inputs of the graphs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from genx_runtimes.manifest import (
    CategoricalPrior,
    ComponentSpec,
    ConstantPrior,
    Prior,
    UniformPrior,
)
from genx_runtimes.sampler_checks import check_shape

MAX_CLASSES = 2**20


def list_prior_problems(priors: Sequence[Prior], run: Sequence[ComponentSpec]) -> list[str]:
    """List priors that contradict themselves, or that are not the inputs of role `prior`.

    Args:
        priors: of the manifest.
        run: the components that the sampler runs, which the priors feed.
    """
    names = [p.name for p in priors]
    needed = {t.name for component in run for t in component.inputs if t.role == "prior"}
    problems = []
    if sorted(names) != sorted(needed):
        problems.append(
            f"priors {names} do not match the inputs {sorted(needed)} of {run[0].name!r}"
        )
    for prior in priors:
        problems += _check_prior(prior)
    return problems


def describe_input(prior: Prior) -> tuple[str, tuple[int, ...]]:
    """Return the dtype, and the shape of one sample, of the input that a prior feeds."""
    if not isinstance(prior, CategoricalPrior):
        return "float32", prior.shape
    return ("int64", ()) if prior.encoding == "index" else ("float32", (prior.classes,))


def _check_prior(prior: Prior) -> Iterator[str]:
    name = f"prior {prior.name!r}"
    if isinstance(prior, CategoricalPrior):
        labels, classes = prior.labels, prior.classes
        if len(labels) not in (0, classes):
            yield f"{name}: {len(labels)} labels, {classes} classes"
        elif not 1 <= classes <= MAX_CLASSES:
            yield f"{name}: {classes} classes, expected 1 to {MAX_CLASSES}"
        return
    yield from check_shape(name, prior.shape)
    if isinstance(prior, UniformPrior) and not (
        prior.low < prior.high and math.isfinite(prior.high - prior.low)
    ):
        yield f"{name} is uniform in {prior.low:g}..{prior.high:g}, expected low < high"
    if isinstance(prior, ConstantPrior) and not prior.low <= prior.value <= prior.high:
        yield f"{name}: {prior.value:g} is not in {prior.low:g}..{prior.high:g}"
