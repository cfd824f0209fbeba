"""From one fp32 variant to the others: rewritten, fp16 and int8, each measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import onnx
import onnx_ir as ir

from genx_export.bundle_writer import refer
from genx_export.graph import serialise
from genx_export.passes import REWRITES, Decision, rewrite
from genx_export.passes.name_nodes import NameNodes
from genx_export.quantisation.calibration import Activation, observe_activations
from genx_export.quantisation.floor import hold_floor
from genx_export.quantisation.half import halve
from genx_export.quantisation.int8 import list_joins, list_layers, quantise
from genx_export.quantisation.material import Material, run_in_passes
from genx_export.quantisation.quality import Quality, measure_quality
from genx_export.quantisation.ranges import Ranges, estimate_ranges
from genx_export.quantisation.recipe import Estimator, QuantisationRecipe
from genx_runtimes.backends import open_session
from genx_runtimes.errors import ExportError
from genx_runtimes.manifest import BatchBounds, ComponentSpec, Manifest, VariantSpec
from genx_runtimes.session import Array
from genx_runtimes.verify import choose_batches, compare_component, measure_range

# Layers are ranked, and estimators compared, on so many of the samples.
_FEW = 16
_TRIED: tuple[Estimator, ...] = ("minmax", "percentile", "mse")
# Engines round int8 differently: on another one the golden samples may be that much worse.
_SLACK = 2.0
_SLACK_DB = 3.0
_FEWEST_DB = 10.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A component's graph at some precision.

    Args:
        model: the serialised ONNX file.
        kept: layers that stayed in float32.
        layers: how many could have changed.
        quality: against the original model.
        estimator: how its ranges were found; empty where there are none.
    """

    model: bytes
    kept: tuple[str, ...]
    layers: int
    quality: Quality
    estimator: str = ""


class Choice(NamedTuple):
    """A way to make a variant: precision, form, and whether int8 takes in residual additions."""

    precision: str
    form: str
    joins: bool = False

    def __str__(self) -> str:
        return f"{self.precision}-{self.form}{'-joins' if self.joins else ''}"


class VariantMaker:
    """Makes the variants of one bundle.

    Args:
        manifest: of the bundle, with an fp32 variant.
        graphs: the fp32 graphs by component.
        golden: the golden arrays.
        material: samples of each component.
        recipe: how to quantise.
        progress: called with a few words before each step.
    """

    def __init__(
        self,
        manifest: Manifest,
        graphs: Mapping[str, bytes],
        golden: Mapping[str, Array],
        material: Mapping[str, Material],
        recipe: QuantisationRecipe,
        progress: Progress,
    ) -> None:
        self._manifest = manifest
        self._golden = golden
        self._material = material
        self._recipe = recipe
        self._progress = progress
        self._graphs = graphs
        self.decisions: dict[str, list[Decision]] = {}

    def _build(self, name: str, form: str) -> bytes:
        """Return a component in a form; made anew each time, for a large one is not kept twice."""
        model = ir.from_proto(onnx.load_from_string(self._graphs[name]))
        NameNodes()(model)  # layers are known by name
        if form != "native":
            decisions = rewrite(model, form)
            if form == "rewritten":
                self.decisions[name] = decisions
        return serialise(name, model)

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms whose graphs differ, the native one first."""
        different: dict[tuple[str, ...], str] = {}
        for form in ("native", *REWRITES):
            graphs = (hashlib.sha256(self._build(name, form)).hexdigest() for name in self._graphs)
            different.setdefault(tuple(graphs), form)
        return tuple(different.values())

    @property
    def has_joins(self) -> bool:
        """Whether there are residual additions."""
        return any(list_joins(self._build(name, "native")) for name in self._graphs)

    def make(
        self, name: str, choice: Choice
    ) -> tuple[VariantSpec, dict[str, bytes], dict[str, Made]]:
        """Return a variant, its files by path, and what is to be said of each component.

        Args:
            name: of the variant.
            choice: precision "fp32", "fp16" or "int8"; form "native" or one of `REWRITES`.

        Raises:
            QualityError: int8 stays below the floor.
            ExportError: fp16 gives NaN or infinity.
        """
        precision, form, joins = choice
        makers: dict[str, Callable[[ComponentSpec, bytes], Made]] = {
            "fp32": self._make_fp32,
            "fp16": self._make_fp16,
            "int8": partial(self._make_int8, joins=joins),
        }
        made = {
            spec.name: makers[precision](spec, self._build(spec.name, form))
            for spec in self._manifest.components
        }
        files = {f"graphs/{name}/{c}.onnx": m.model for c, m in made.items()}
        error, psnr = self._compare_golden(made)
        exact = precision == "fp32"
        sampled = made[self._manifest.sampler.component]
        variant = VariantSpec(
            name=name,
            precision=precision,
            graphs={c: refer(f"graphs/{name}/{c}.onnx", m.model) for c, m in made.items()},
            tolerance=self._manifest.variants[0].tolerance if exact else error * _SLACK,
            quality={"max_error": error, **sampled.quality.to_json()},
            form=form,
            min_psnr_db=None if exact else max(psnr - _SLACK_DB, _FEWEST_DB),
            recipe={}
            if exact
            else {**self._recipe.to_json(), "estimator": sampled.estimator, "joins": joins},
            kept={c: m.kept for c, m in made.items() if m.kept},
        )
        return variant, files, made

    def sketch(self, choice: Choice) -> tuple[VariantSpec, dict[str, bytes]]:
        """Return a variant that is as fast as `make`'s, from a few samples, its quality unknown."""
        name, (precision, form, joins) = str(choice), choice
        files, graphs = {}, {}
        for component in self._graphs:
            model, path = self._build(component, form), f"graphs/{name}/{component}.onnx"
            if precision == "int8" and list_layers(model):
                feeds = self._material[component].calibration
                few = {n: array[: _few_samples(self._manifest.batch)] for n, array in feeds.items()}
                seen = observe_activations(model, few, self._manifest.batch)
                ranges = estimate_ranges(seen, "minmax")
                model = self._quantise(model, ranges, joins=joins)
            files[path] = model
            graphs[component] = refer(path, model)
        variant = VariantSpec(
            name=name, precision=precision, graphs=graphs, tolerance=1.0, quality={}, form=form
        )
        return variant, files

    def _make_fp32(self, spec: ComponentSpec, model: bytes) -> Made:
        # Rounding alone: the golden samples say as much as many others.
        return Made(model=model, kept=(), layers=0, quality=self._measure(spec, model, few=True))

    def _make_fp16(self, spec: ComponentSpec, model: bytes) -> Made:
        self._progress(f"fp16: watching the {spec.name}")
        made, wide = halve(model, self._observe(spec, model))
        quality = self._measure(spec, made)
        if quality.worst_psnr_db == -float("inf"):
            raise ExportError(
                f"component {spec.name!r} gives NaN or infinity in fp16", fix="leave fp16 out"
            )
        layers = len(onnx.load_from_string(model).graph.node)
        return Made(model=made, kept=wide, layers=layers, quality=quality)

    def _make_int8(self, spec: ComponentSpec, model: bytes, *, joins: bool) -> Made:
        layers = list_layers(model)
        if not layers:
            return Made(model=model, kept=(), layers=0, quality=self._measure(spec, model))
        self._progress(f"int8: watching the {spec.name}")
        estimator, ranges = self._choose_ranges(
            spec, model, self._observe(spec, model), joins=joins
        )
        held = hold_floor(
            layers,
            partial(self._quantise, model, ranges, joins=joins),
            partial(self._measure, spec),
            partial(self._measure, spec, few=True),
            self._recipe,
            progress=self._progress,
        )
        return Made(
            model=held.model,
            kept=held.kept,
            layers=held.layers,
            quality=held.quality,
            estimator=estimator,
        )

    def _quantise(
        self, model: bytes, ranges: Ranges, kept: Sequence[str] = (), *, joins: bool = False
    ) -> bytes:
        return quantise(model, ranges, target=self._recipe.target, kept=kept, joins=joins)

    def _observe(self, spec: ComponentSpec, model: bytes) -> dict[str, Activation]:
        return observe_activations(
            model, self._material[spec.name].calibration, self._manifest.batch
        )

    def _choose_ranges(
        self, spec: ComponentSpec, model: bytes, seen: Mapping[str, Activation], *, joins: bool
    ) -> tuple[str, Ranges]:
        """Return the estimator asked for, or the one that measures best, and its ranges."""
        asked = self._recipe.estimator
        tried = _TRIED if asked == "auto" else (asked,)
        found = {e: estimate_ranges(seen, e, percentile=self._recipe.percentile) for e in tried}
        if len(found) == 1:
            return next(iter(found.items()))
        self._progress("int8: comparing ways to find ranges")
        best = max(
            found,
            key=lambda e: (
                self._measure(spec, self._quantise(model, found[e], joins=joins), few=True).psnr_db
            ),
        )
        return best, found[best]

    def _measure(self, spec: ComponentSpec, model: bytes, *, few: bool = False) -> Quality:
        """Compare a graph with the original model: the worst of its outputs."""
        material = self._material[spec.name]
        count = _few_samples(self._manifest.batch) if few else None
        feeds = {name: array[:count] for name, array in material.fresh.items()}
        with open_session(model, spec) as session:
            got = run_in_passes(session, feeds, self._manifest.batch)
        contract = self._manifest.output
        found = []
        for name, expected in material.expected.items():
            drawn = name == contract.name and contract.kind == "image"
            found.append(
                measure_quality(
                    got[name],
                    expected[:count],
                    measure_range(expected, contract.range if drawn else None),
                    image=drawn and not few,
                    others=None if few else material.calibrated[name],
                )
            )
        return min(found, key=lambda q: q.psnr_db)

    def _compare_golden(self, made: Mapping[str, Made]) -> tuple[float, float]:
        """Return the largest error and the least PSNR on the golden samples."""
        batches = choose_batches(self._manifest.batch, self._manifest.golden.count)
        checks = []
        for spec in self._manifest.components:
            with open_session(made[spec.name].model, spec) as session:
                checks += compare_component(
                    session, spec, self._golden, batches, self._manifest.output
                )
        return max(c.max_error for c in checks), min(c.psnr_db for c in checks)


def _few_samples(bounds: BatchBounds) -> int:
    return max(_FEW, bounds.min)
