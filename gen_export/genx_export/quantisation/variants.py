"""From one fp32 variant to the others: every component, compared on the golden samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import NamedTuple

import onnx
import onnx_ir as ir
from msgspec import structs

from genx_export.bundle_writer import refer
from genx_export.graph import frees_graphs, serialise
from genx_export.passes import REWRITES, Decision, rewrite
from genx_export.quantisation.component import ComponentMaker, Made
from genx_export.quantisation.int8 import list_joins
from genx_export.quantisation.material import Material
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_export.quantisation.weight_only import list_weight_layers
from genx_export.verification import run_loop_check
from genx_runtimes.backends import open_session
from genx_runtimes.batches import choose_batches
from genx_runtimes.errors import QualityError
from genx_runtimes.manifest import ComponentSpec, FileRef, Manifest, VariantSpec
from genx_runtimes.progress import Progress
from genx_runtimes.session import Array
from genx_runtimes.verify import OutputCheck, compare_component

# Engines round int8 differently: on another one the golden samples may be that much worse.
_SLACK = 2.0
_SLACK_DB = 3.0
_FEWEST_DB = 10.0


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
        manifest: of the bundle; its first variant, of fp32, is what others are made from.
        files: of the bundle, by path.
        golden: the golden arrays.
        material: samples of each component.
        recipe: how to quantise.
        progress: called with a few words before each step.
    """

    def __init__(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        golden: Mapping[str, Array],
        material: Mapping[str, Material],
        recipe: QuantisationRecipe,
        progress: Progress,
    ) -> None:
        self._manifest = manifest
        self._golden = golden
        self._recipe = recipe
        self._files = files
        self._makers = {
            spec.name: ComponentMaker(spec, manifest, material[spec.name], recipe, progress)
            for spec in manifest.components
        }
        self.decisions: dict[str, list[Decision]] = {}

    def _build(self, name: str, form: str) -> bytes:
        """Return a component in a form; made anew each time, for a large one is not kept twice."""
        if form != "native":
            rewritten = _rewrite(name, partial(self._read, name), form)
            if rewritten is not None:
                return rewritten
        return self._read(name)

    def _read(self, name: str) -> bytes:
        return self._files[self._manifest.variants[0].graphs[name].path]

    def find_forms(self) -> tuple[str, ...]:
        """Return the forms whose graphs differ, the native one first."""
        nothing: frozenset[tuple[str, str]] = frozenset()
        different = {nothing: "native"}
        for form in REWRITES:
            fired = set()
            for name in self._makers:
                decisions = _decide(self._read(name), form)
                fired |= {(name, decision.node) for decision in decisions if decision.fired}
                if form == "rewritten":
                    self.decisions[name] = decisions
            different.setdefault(frozenset(fired), form)
        return tuple(different.values())

    @property
    def has_joins(self) -> bool:
        """Whether there are residual additions."""
        return any(list_joins(self._read(name)) for name in self._makers)

    @property
    def has_large_weights(self) -> bool:
        """Whether there are weights for few bits where activations stay float32."""
        return any(list_weight_layers(self._read(name)) for name in self._makers)

    def make(
        self, name: str, choice: Choice, files: MutableMapping[str, bytes]
    ) -> tuple[VariantSpec, dict[str, Made]]:
        """Return a variant, and what is to be said of each component.

        Args:
            name: of the variant.
            choice: a precision of `PRECISIONS`; form "native" or one of `REWRITES`.
            files: take its graphs.

        Raises:
            QualityError: it stays below the floor, or fp32 in another form beyond the tolerance.
            ExportError: fp16 gives NaN or infinity.
        """
        precision, form, joins = choice
        made: dict[str, Made] = {}
        graphs: dict[str, FileRef] = {}
        checks: list[OutputCheck] = []
        for spec in self._manifest.components:
            base = self._build(spec.name, form)
            model, made[spec.name] = self._makers[spec.name].make(precision, base, joins=joins)
            path = f"graphs/{name}/{spec.name}.onnx"
            files[path], graphs[spec.name] = model, refer(path, model)
            checks += self._compare_golden(spec, model)
        error, psnr = max(c.max_error for c in checks), min(c.psnr_db for c in checks)
        exact = precision == "fp32"
        tolerance = self._manifest.variants[0].tolerance if exact else error * _SLACK
        if form != "native" and exact and error > tolerance:
            for ref in graphs.values():
                del files[ref.path]
            raise QualityError(
                f"fp32 in form {form} is off by {error:.2g} of the range, tolerance {tolerance:g}",
                fix="--form native",
            )
        sampled = made[self._manifest.sampler.component]
        variant = VariantSpec(
            name=name,
            precision=precision,
            graphs=graphs,
            tolerance=tolerance,
            quality={"max_error": error, **sampled.quality.to_json()},
            form=form,
            min_psnr_db=None if exact else max(psnr - _SLACK_DB, _FEWEST_DB),
            recipe={}
            if exact
            else {**self._recipe.to_json(), "estimator": sampled.estimator, "joins": joins},
            kept={c: m.kept for c, m in made.items() if m.kept},
        )
        return self._state_loop(variant, files), made

    def _state_loop(self, variant: VariantSpec, files: Mapping[str, bytes]) -> VariantSpec:
        """Return the variant with what the whole sampling loop drifts, where there is one.

        The variant then keeps to twice that; where the loop decides by drawing it keeps to nothing,
        since one token that falls otherwise changes all after it.
        """
        base = self._manifest.variants[0]
        if base.loop_tolerance is None:
            return variant
        graphs = {name: files[ref.path] for name, ref in variant.graphs.items()}
        check = run_loop_check(self._manifest, graphs, self._golden)
        exact = variant.precision == "fp32"
        tolerance = None if check.discrete else check.error * _SLACK
        return structs.replace(
            variant,
            quality={**variant.quality, "loop_error": check.error},
            loop_tolerance=base.loop_tolerance if exact else tolerance,
        )

    def sketch(self, choice: Choice, files: MutableMapping[str, bytes]) -> VariantSpec:
        """Return a variant that is as fast as `make`'s, from a few samples, its quality unknown."""
        name, (precision, form, joins) = str(choice), choice
        graphs = {}
        for component, maker in self._makers.items():
            path = f"graphs/{name}/{component}.onnx"
            model = maker.sketch(precision, self._build(component, form), joins=joins)
            files[path], graphs[component] = model, refer(path, model)
        return VariantSpec(
            name=name, precision=precision, graphs=graphs, tolerance=1.0, quality={}, form=form
        )

    def _compare_golden(self, spec: ComponentSpec, model: bytes) -> list[OutputCheck]:
        batches = choose_batches(self._manifest.batch, self._manifest.golden.count)
        with open_session(model, spec) as session:
            return compare_component(session, spec, self._golden, batches, self._manifest.output)


@frees_graphs
def _decide(model: bytes, form: str) -> list[Decision]:
    return rewrite(ir.from_proto(onnx.load_from_string(model)), form)


@frees_graphs
def _rewrite(name: str, read: Callable[[], bytes], form: str) -> bytes | None:
    """Return a component in a form; None where no rewrite fired."""
    graph = ir.from_proto(onnx.load_from_string(read()))
    if not any(decision.fired for decision in rewrite(graph, form)):
        return None
    return serialise(name, graph)
