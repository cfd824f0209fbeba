"""Adding variants to a bundle: made, measured on this machine, and kept if they are worth it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from genx_export.bundle_writer import write_bundle
from genx_export.disk_files import DiskFiles
from genx_export.passes import Decision
from genx_export.quantisation.component import PRECISIONS, WEIGHT_ONLY, Made
from genx_export.quantisation.material import Material
from genx_export.quantisation.recipe import QuantisationRecipe, Target
from genx_export.quantisation.variants import Choice, VariantMaker
from genx_runtimes.bundle import open_bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError, QualityError
from genx_runtimes.manifest import Manifest, VariantSpec
from genx_runtimes.progress import Progress
from genx_runtimes.sampling_specs import OnePassSpec
from genx_runtimes.session import Array
from genx_runtimes.tuning import Combination, measure

Form = Literal["auto", "native", "rewritten", "mixed"]
FORMS: tuple[Form, ...] = ("auto", "native", "rewritten", "mixed")
_BATCHES = (1, 8)
# A second fp32 form must be that much faster to be worth its bytes.
_WORTH = 1.03

# Where one call takes that long, larger batches are no faster for each sample, and take minutes.
_SLOW_MS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantReport:
    """What is to be said of a variant.

    Args:
        name: of the variant.
        form: "native", or one of `passes.REWRITES`.
        bytes: of its graphs.
        quality: against the original model, on fresh samples.
        layers: how many layers could have changed.
        kept: those that stayed in float32.
        fastest: for each batch size, the fastest engine and its median; empty if not measured.
    """

    name: str
    form: str
    bytes: int
    quality: Mapping[str, float]
    layers: int
    kept: tuple[str, ...]
    fastest: Mapping[int, Combination] = field(default_factory=dict)

    def latency_ms(self, batch: int) -> float:
        """Return the median latency in ms; infinite if it did not run."""
        found = self.fastest.get(batch)
        return math.inf if found is None or found.p50_ms is None else found.p50_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A bundle with more variants.

    Args:
        manifest: the new one.
        files: of the bundle, by path.
        variants: what is to be said of each.
        decisions: what the rewrites did, by component.
        dropped: variants that were made and are not worth their bytes, with the reason.
    """

    manifest: Manifest
    files: MutableMapping[str, bytes]
    variants: tuple[VariantReport, ...]
    decisions: Mapping[str, Sequence[Decision]]
    dropped: tuple[str, ...]


def check_precisions(precisions: Sequence[str], form: str, target: Target) -> None:
    """Raise InputError unless all are known, fit the target, and none is named twice."""
    for name in precisions:
        if name not in PRECISIONS:
            raise InputError(
                f"unknown precision {name!r}", fix=f"a list of {', '.join(PRECISIONS)}"
            )
        if name in WEIGHT_ONLY and target == "tensorrt":
            raise InputError(
                f"{name}: TensorRT has no operator for it", fix="--target cpu, or int8 or fp16"
            )
    if not precisions or len(set(precisions)) < len(precisions):
        raise InputError(f"precisions are {', '.join(precisions) or 'none'}, expected each once")
    if form not in FORMS:
        raise InputError(f"unknown form {form!r}", fix=f"one of {', '.join(FORMS)}")


def extend_bundle(
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    golden: Mapping[str, Array],
    material: Mapping[str, Material],
    precisions: Sequence[str],
    form: Form,
    recipe: QuantisationRecipe,
    progress: Progress,
) -> Extended:
    """Return the bundle with the variants `precisions`, in that order.

    With form "auto" all forms of fp32 and int8 are made that differ. The fastest int8 stays; beside
    the native fp32 the fastest other form stays if it is faster in the best engine here.

    Args:
        manifest: of a bundle with an fp32 variant, its first.
        files: of that bundle, by path.
        golden: the golden arrays.
        material: samples of each component.
        precisions: see `PRECISIONS`.
        form: which forms are considered.
        recipe: how to quantise.
        progress: called with a few words before each step.

    Raises:
        InputError: a precision is for weights of a kind that the model does not have.
        QualityError: a precision stays below the floor.
    """
    base = manifest.variants[0]
    maker = VariantMaker(manifest, files, golden, material, recipe, progress)
    rest = {path: data for path, data in files.items() if path not in _paths(base)}
    plan = _plan(precisions, form, recipe.target, maker)
    chosen, dropped = _choose(plan, _screen(manifest, rest, maker, plan, progress))
    written = DiskFiles(rest)
    made = {}
    for name, choice in chosen.items():
        try:
            made[name] = _make(maker, name, choice, written)
        except QualityError as err:
            if name in precisions:
                raise
            dropped = (*dropped, f"{choice}: {err.message}")
    new = replace(manifest, variants=tuple(variant for variant, _ in made.values()))
    fastest = _measure_all(new, written, progress)
    return Extended(
        manifest=new,
        files=written,
        variants=tuple(_report(*made[name], fastest[name]) for name in made),
        decisions=maker.decisions,
        dropped=dropped,
    )


_Speeds = Mapping[int, Combination]


def _plan(
    precisions: Sequence[str], form: Form, target: Target, maker: VariantMaker
) -> dict[str, list[Choice]]:
    """Return what to try of each precision.

    What runs on another machine cannot be measured here: TensorRT quantises convolutions and leaves
    transposed ones in float, so int8 for it is rewritten; fp16, which is for GPUs, stays native, as
    does what has few bits in its weights alone.

    Raises:
        InputError: a precision is for weights of a kind that the model does not have.
    """
    different = maker.find_forms()
    asked = [form if form in different else "native"]
    wanted: Sequence[str] = different if form == "auto" else asked
    elsewhere = "rewritten" if "rewritten" in wanted else "native"
    alone = "native" if form == "auto" else asked[0]
    joins = (False, True) if maker.has_joins else (False,)
    few = next((name for name in precisions if name in WEIGHT_ONLY), None)
    if few and not maker.has_large_weights:
        raise InputError(
            f"{few}: the model has no large embedding, recurrent layer or matrix product",
            fix="int8 is for convolutions",
        )
    tries = {
        "fp32": [Choice("fp32", each) for each in wanted],
        "fp16": [Choice("fp16", alone)],
        "int8": [Choice("int8", elsewhere)]
        if target == "tensorrt"
        else [Choice("int8", each, join) for each in wanted for join in joins],
        **{name: [Choice(name, alone)] for name in WEIGHT_ONLY},
    }
    return {precision: tries[precision] for precision in precisions}


def _screen(
    manifest: Manifest,
    rest: Mapping[str, bytes],
    maker: VariantMaker,
    plan: Mapping[str, Sequence[Choice]],
    progress: Progress,
) -> dict[Choice, _Speeds]:
    """Measure what there is to choose from in each precision, as sketches, which are as fast."""
    choices = [choice for tries in plan.values() if len(tries) > 1 for choice in tries]
    if not choices:
        return {}
    progress("trying forms of the graphs")
    files = DiskFiles(rest)
    sketches = tuple(maker.sketch(choice, files) for choice in choices)
    speeds = _measure_all(replace(manifest, variants=sketches), files, progress)
    return {choice: speeds[str(choice)] for choice in choices}


def _measure_all(
    manifest: Manifest, files: Mapping[str, bytes], progress: Progress
) -> dict[str, dict[int, Combination]]:
    """Return the fastest engine of each variant at some batch sizes; of a loop, by its calls."""
    loops = not isinstance(manifest.sampler, OnePassSpec)
    names = [variant.name for variant in manifest.variants]
    bounds, cores = manifest.batch, count_usable_cores()
    batches = sorted({min(max(b, bounds.min), bounds.max) for b in _BATCHES})
    fastest: dict[str, dict[int, Combination]] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.genx"
        write_bundle(path, manifest, files)
        bundle = open_bundle(path)
        for batch in batches:
            found = measure(
                bundle, names, batch=batch, threads=cores, calls=loops, progress=progress
            )
            for combination in found:
                fastest[combination.variant].setdefault(batch, combination)
            if found and (found[0].p50_ms or 0.0) > _SLOW_MS:
                break
    return fastest


def _choose(
    plan: Mapping[str, Sequence[Choice]], speeds: Mapping[Choice, _Speeds]
) -> tuple[dict[str, Choice], tuple[str, ...]]:
    """Return {name in the bundle: choice}, and what was left out and why."""
    chosen: dict[str, Choice] = {}
    dropped = []
    for precision, tries in plan.items():
        first = tries[0]
        chosen[precision] = first
        if len(tries) == 1:
            continue
        slowness = {choice: _compare(speeds[choice], speeds[first]) for choice in tries}
        best = min(tries, key=slowness.__getitem__)
        if precision != "fp32":
            chosen[precision] = best
        elif slowness[best] * _WORTH <= 1:
            chosen[f"fp32-{best.form}"] = best
        stay = min(slowness[choice] for choice in tries if choice in chosen.values())
        dropped += [
            f"{choice}: {slowness[choice] / stay:.2f} x the time of what stays, each in its best "
            f"engine here"
            for choice in tries
            if choice not in chosen.values()
        ]
    return chosen, tuple(dropped)


def _make(
    maker: VariantMaker, name: str, choice: Choice, files: DiskFiles
) -> tuple[VariantSpec, dict[str, Made]]:
    """Make a variant; where the floor cannot be held with residual additions, without them."""
    try:
        return maker.make(name, choice, files)
    except QualityError:
        if not choice.joins:
            raise
        return maker.make(name, choice._replace(joins=False), files)


def _compare(speeds: _Speeds, reference: _Speeds) -> float:
    """Return the geometric mean over batch sizes of latency over that of the reference."""
    ratios = []
    for batch, found in speeds.items():
        other = reference[batch].p50_ms
        if found.p50_ms is None or other is None:
            return math.inf
        ratios.append(math.log(found.p50_ms / other))
    return math.exp(sum(ratios) / len(ratios))


def _report(variant: VariantSpec, parts: Mapping[str, Made], fastest: _Speeds) -> VariantReport:
    return VariantReport(
        name=variant.name,
        form=variant.form,
        bytes=sum(ref.bytes for ref in variant.graphs.values()),
        quality=variant.quality,
        layers=sum(m.layers for m in parts.values()),
        kept=tuple(layer for m in parts.values() for layer in m.kept),
        fastest=fastest,
    )


def _paths(variant: VariantSpec) -> set[str]:
    return {ref.path for ref in variant.graphs.values()}
