"""Adding variants to a bundle: made, measured on this machine, and kept if they are worth it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from genx_export.bundle_writer import write_bundle
from genx_export.passes import Decision
from genx_export.quantisation.material import Material
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_export.quantisation.variants import Made, VariantMaker
from genx_runtimes.bundle import open_bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import Manifest, VariantSpec
from genx_runtimes.session import Array
from genx_runtimes.tuning import Combination, measure

Form = Literal["auto", "native", "rewritten", "mixed"]
FORMS: tuple[Form, ...] = ("auto", "native", "rewritten", "mixed")
PRECISIONS = ("fp32", "fp16", "int8")
_BATCHES = (1, 8)
# A second fp32 form must be that much faster to be worth its bytes.
_WORTH = 1.03

# Where one call takes that long, larger batches are no faster for each sample, and take minutes.
_SLOW_MS = 20.0

Progress = Callable[[str], None]


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
    files: dict[str, bytes]
    variants: tuple[VariantReport, ...]
    decisions: Mapping[str, Sequence[Decision]]
    dropped: tuple[str, ...]


def check_precisions(precisions: Sequence[str], form: str) -> None:
    """Raise InputError unless all are known and none is named twice."""
    for name in precisions:
        if name not in PRECISIONS:
            raise InputError(
                f"unknown precision {name!r}", fix=f"a list of {', '.join(PRECISIONS)}"
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
        QualityError: int8 stays below the floor in every form.
    """
    base = manifest.variants[0]
    graphs = {name: files[ref.path] for name, ref in base.graphs.items()}
    maker = VariantMaker(manifest, graphs, golden, material, recipe, progress)
    rest = {path: data for path, data in files.items() if path not in _paths(base)}
    plan = _plan(precisions, form, maker.forms)
    chosen, dropped = _choose(plan, _screen(manifest, rest, maker, plan, progress))
    made = {name: maker.make(name, *key) for name, key in chosen.items()}
    fastest = _measure_all(manifest, rest, {n: parts[:2] for n, parts in made.items()}, progress)
    return Extended(
        manifest=replace(manifest, variants=tuple(variant for variant, _, _ in made.values())),
        files=rest | {path: data for _, part, _ in made.values() for path, data in part.items()},
        variants=tuple(_report(*made[name], fastest[name]) for name in chosen),
        decisions=maker.decisions,
        dropped=dropped,
    )


_Parts = tuple[VariantSpec, dict[str, bytes]]
_Key = tuple[str, str]  # precision and form
_Speeds = Mapping[int, Combination]


def _plan(precisions: Sequence[str], form: Form, different: Sequence[str]) -> dict[str, list[str]]:
    """Return the forms to try of each precision; fp16 is for GPUs, in the form that they like."""
    wanted: list[str] = (
        list(different) if form == "auto" else [form if form in different else "native"]
    )
    one = ["rewritten" if "rewritten" in wanted else wanted[0]]
    return {precision: one if precision == "fp16" else wanted for precision in precisions}


def _screen(
    manifest: Manifest,
    rest: Mapping[str, bytes],
    maker: VariantMaker,
    plan: Mapping[str, Sequence[str]],
    progress: Progress,
) -> dict[_Key, _Speeds]:
    """Measure the forms of each precision that has a choice, as sketches, which are as fast."""
    keys = [(p, form) for p, forms in plan.items() if len(forms) > 1 for form in forms]
    if not keys:
        return {}
    progress("trying forms of the graphs")
    sketches = {f"{p}-{form}": maker.sketch(f"{p}-{form}", p, form) for p, form in keys}
    speeds = _measure_all(manifest, rest, sketches, progress)
    return {key: speeds["-".join(key)] for key in keys}


def _measure_all(
    manifest: Manifest,
    rest: Mapping[str, bytes],
    made: Mapping[str, _Parts],
    progress: Progress,
) -> dict[str, dict[int, Combination]]:
    """Return the fastest engine of each variant at some batch sizes."""
    files = dict(rest)
    for _, data in made.values():
        files |= data
    every = replace(manifest, variants=tuple(variant for variant, _ in made.values()))
    bounds, cores = manifest.batch, count_usable_cores()
    batches = sorted({min(max(b, bounds.min), bounds.max) for b in _BATCHES})
    fastest: dict[str, dict[int, Combination]] = {name: {} for name in made}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.genx"
        write_bundle(path, every, files)
        bundle = open_bundle(path)
        for batch in batches:
            found = measure(bundle, list(made), batch=batch, threads=cores, progress=progress)
            for combination in found:
                fastest[combination.variant].setdefault(batch, combination)
            if found and (found[0].p50_ms or 0.0) > _SLOW_MS:
                break
    return fastest


def _choose(
    plan: Mapping[str, Sequence[str]], speeds: Mapping[_Key, _Speeds]
) -> tuple[dict[str, _Key], tuple[str, ...]]:
    """Return {name in the bundle: precision and form}, and what was left out and why."""
    chosen: dict[str, _Key] = {}
    dropped = []
    for precision, forms in plan.items():
        first = (precision, forms[0])
        chosen[precision] = first
        if len(forms) == 1:
            continue
        slowness = {f: _compare(speeds[precision, f], speeds[first]) for f in forms}
        best = min(forms, key=slowness.__getitem__)
        if precision != "fp32":
            chosen[precision] = (precision, best)
        elif slowness[best] * _WORTH <= 1:
            chosen[f"fp32-{best}"] = (precision, best)
        stay = min(slowness[f] for f in forms if (precision, f) in chosen.values())
        dropped += [
            f"{precision} {f}: {slowness[f] / stay:.2f} x the time of the form that stays, each in "
            f"its best engine here"
            for f in forms
            if (precision, f) not in chosen.values()
        ]
    return chosen, tuple(dropped)


def _compare(speeds: _Speeds, reference: _Speeds) -> float:
    """Return the geometric mean over batch sizes of latency over that of the reference."""
    ratios = []
    for batch, found in speeds.items():
        other = reference[batch].p50_ms
        if found.p50_ms is None or other is None:
            return math.inf
        ratios.append(math.log(found.p50_ms / other))
    return math.exp(sum(ratios) / len(ratios))


def _report(
    variant: VariantSpec, _: object, parts: Mapping[str, Made], fastest: _Speeds
) -> VariantReport:
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
