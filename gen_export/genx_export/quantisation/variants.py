"""From one fp32 variant to the others: every component, compared on the golden samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import onnx
import onnx_ir as ir

from genx_export.bundle_writer import refer
from genx_export.graph import serialise
from genx_export.passes import REWRITES, Decision, rewrite
from genx_export.passes.name_nodes import NameNodes
from genx_export.quantisation.component import WEIGHT_ONLY, ComponentMaker, Made, Progress
from genx_export.quantisation.int8 import list_joins
from genx_export.quantisation.material import Material
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_runtimes.backends import open_session
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import Manifest, VariantSpec
from genx_runtimes.session import Array
from genx_runtimes.verify import choose_batches, compare_component

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
        self._recipe = recipe
        self._graphs = graphs
        self._makers = {
            spec.name: ComponentMaker(spec, manifest, material[spec.name], recipe, progress)
            for spec in manifest.components
        }
        self.decisions: dict[str, list[Decision]] = {}

    def _build(self, name: str, form: str) -> bytes:
        """Return a component in a form; made anew each time, for a large one is not kept twice."""
        model = ir.from_proto(onnx.load_from_string(self._graphs[name]))
        NameNodes()(model)  # layers are known by name
        if form != "native":
            decisions = rewrite(model, form)
            if form == "rewritten":
                self.decisions[name] = decisions
            if not any(decision.fired for decision in decisions):
                return self._build(name, "native")
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
            choice: a precision of `PRECISIONS`; form "native" or one of `REWRITES`.

        Raises:
            InputError: there are no weights of the kind that the precision is for.
            QualityError: it stays below the floor.
            ExportError: fp16 gives NaN or infinity.
        """
        precision, form, joins = choice
        made = {
            component: maker.make(precision, self._build(component, form), joins=joins)
            for component, maker in self._makers.items()
        }
        if precision in WEIGHT_ONLY and not any(m.layers for m in made.values()):
            raise InputError(
                f"{precision}: the model has no large embedding, recurrent layer or matrix product",
                fix="int8 is for convolutions",
            )
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
        for component, maker in self._makers.items():
            path = f"graphs/{name}/{component}.onnx"
            files[path] = maker.sketch(precision, self._build(component, form), joins=joins)
            graphs[component] = refer(path, files[path])
        variant = VariantSpec(
            name=name, precision=precision, graphs=graphs, tolerance=1.0, quality={}, form=form
        )
        return variant, files

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
