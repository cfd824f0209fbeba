"""Adding variants to a bundle: made, measured on this machine, and kept if they are worth it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from genx_export.bundle_writer import refer, write_bundle
from genx_export.passes import Decision
from genx_export.quantisation.material import Material
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_export.quantisation.variants import Made, VariantMaker
from genx_runtimes.bundle import open_bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError, QualityError
from genx_runtimes.manifest import Manifest, VariantSpec
from genx_runtimes.session import Array
from genx_runtimes.tuning import Combination, measure

Form = Literal["auto", "native", "rewritten", "mixed"]
FORMS: tuple[Form, ...] = ("auto", "native", "rewritten", "mixed")
PRECISIONS = ("fp32", "fp16", "int8")
_BATCHES = (1, 8)
# A second fp32 form must be that much faster to be worth its bytes.
_WORTH = 1.03

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
    candidates = _plan(precisions, form, maker.forms)
    made = _make_all(maker, candidates)
    rest = {path: data for path, data in files.items() if path not in _paths(base)}
    reports = _measure_all(manifest, rest, made, progress)
    chosen, dropped = _choose(reports, made, precisions)
    variants, kept_files = [], dict(rest)
    for name, key in chosen.items():
        variant, data, _ = made[key]
        variant, data = _rename(variant, data, name)
        variants.append(variant)
        kept_files |= data
    return Extended(
        manifest=replace(manifest, variants=tuple(variants)),
        files=kept_files,
        variants=tuple(_named(reports[key], name) for name, key in chosen.items()),
        decisions=maker.decisions,
        dropped=dropped,
    )


_Parts = tuple[VariantSpec, dict[str, bytes], dict[str, Made]]


def _plan(precisions: Sequence[str], form: Form, different: Sequence[str]) -> list[tuple[str, str]]:
    """Return the precisions and forms to make; fp16 is for GPUs, in the form that they like."""
    if form == "auto":
        wanted: Sequence[str] = different
    else:
        wanted = [form] if form in different else ["native"]
    plan = []
    for precision in precisions:
        one = "rewritten" if "rewritten" in wanted else wanted[0]
        plan += [(precision, each) for each in ([one] if precision == "fp16" else wanted)]
    return plan


def _make_all(
    maker: VariantMaker, candidates: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], _Parts]:
    """Make the candidates; a form whose quality is too low may fail if the other one holds."""
    made: dict[tuple[str, str], _Parts] = {}
    failures: dict[str, QualityError] = {}
    for precision, form in candidates:
        try:
            made[precision, form] = maker.make(f"{precision}-{form}", precision, form)
        except QualityError as err:
            failures[precision] = err
    for precision, failure in failures.items():
        if not any(p == precision for p, _ in made):
            raise failure
    return made


def _measure_all(
    manifest: Manifest,
    rest: Mapping[str, bytes],
    made: Mapping[tuple[str, str], _Parts],
    progress: Progress,
) -> dict[tuple[str, str], VariantReport]:
    """Measure the latency of all candidates in every engine that is here."""
    files = dict(rest)
    for _, data, _ in made.values():
        files |= data
    every = replace(manifest, variants=tuple(variant for variant, _, _ in made.values()))
    names = [variant.name for variant in every.variants]
    bounds, cores = manifest.batch, count_usable_cores()
    batches = sorted({min(max(b, bounds.min), bounds.max) for b in _BATCHES})
    fastest: dict[str, dict[int, Combination]] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.genx"
        write_bundle(path, every, files)
        bundle = open_bundle(path)
        for batch in batches:
            found = measure(bundle, names, batch=batch, threads=cores, progress=progress)
            for combination in found:
                fastest[combination.variant].setdefault(batch, combination)
    return {
        key: VariantReport(
            name=variant.name,
            form=variant.form,
            bytes=sum(ref.bytes for ref in variant.graphs.values()),
            quality=variant.quality,
            layers=sum(m.layers for m in parts.values()),
            kept=tuple(layer for m in parts.values() for layer in m.kept),
            fastest=fastest[variant.name],
        )
        for key, (variant, _, parts) in made.items()
    }


def _choose(
    reports: Mapping[tuple[str, str], VariantReport],
    made: Mapping[tuple[str, str], _Parts],
    precisions: Sequence[str],
) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Return {name in the bundle: candidate}, and what was dropped and why."""
    chosen: dict[str, tuple[str, str]] = {}
    dropped = []
    for precision in precisions:
        forms = [key for key in made if key[0] == precision]
        best = min(forms, key=lambda key: _slowness(reports[key], reports[forms[0]]))
        if precision != "fp32":
            chosen[precision] = best
            dropped += [_compare(reports[k], reports[best]) for k in forms if k != best]
            continue
        first = forms[0]
        chosen["fp32"] = first
        if best != first and _slowness(reports[best], reports[first]) * _WORTH <= 1:
            chosen[f"fp32-{best[1]}"] = best
        stay = reports[chosen.get(f"fp32-{best[1]}", first)]
        dropped += [_compare(reports[k], stay) for k in forms if k not in chosen.values()]
    return chosen, tuple(dropped)


def _slowness(report: VariantReport, reference: VariantReport) -> float:
    """Return the geometric mean over batch sizes of latency over that of the reference."""
    ratios = [
        math.log(report.latency_ms(b) / reference.latency_ms(b))
        for b in report.fastest
        if report.latency_ms(b) < math.inf and reference.latency_ms(b) < math.inf
    ]
    return math.exp(sum(ratios) / len(ratios)) if ratios else math.inf


def _compare(report: VariantReport, better: VariantReport) -> str:
    return (
        f"{report.name}: {_slowness(report, better):.2f} x the time of {better.name} in the best "
        f"engine here"
    )


def _paths(variant: VariantSpec) -> set[str]:
    return {ref.path for ref in variant.graphs.values()}


def _rename(
    variant: VariantSpec, files: Mapping[str, bytes], name: str
) -> tuple[VariantSpec, dict[str, bytes]]:
    """Give a variant its name in the bundle, and its files theirs."""
    paths = {c: f"graphs/{name}/{c}.onnx" for c in variant.graphs}
    renamed = {paths[c]: files[ref.path] for c, ref in variant.graphs.items()}
    graphs = {c: refer(paths[c], renamed[paths[c]]) for c in paths}
    return replace(variant, name=name, graphs=graphs), renamed


def _named(report: VariantReport, name: str) -> VariantReport:
    return VariantReport(
        name=name,
        form=report.form,
        bytes=report.bytes,
        quality=report.quality,
        layers=report.layers,
        kept=report.kept,
        fastest=report.fastest,
    )
