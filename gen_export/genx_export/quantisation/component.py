"""One component's graph at some precision, measured against the original model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import onnx

from genx_export.quantisation.calibration import Activation, observe_activations
from genx_export.quantisation.floor import hold_floor
from genx_export.quantisation.half import halve
from genx_export.quantisation.int8 import list_layers, quantise
from genx_export.quantisation.material import Material, run_in_passes
from genx_export.quantisation.quality import Quality, measure_quality
from genx_export.quantisation.ranges import Ranges, estimate_ranges
from genx_export.quantisation.recipe import Estimator, QuantisationRecipe
from genx_export.quantisation.weight_only import list_weight_layers, shrink_weights
from genx_runtimes.backends import open_session
from genx_runtimes.errors import ExportError
from genx_runtimes.manifest import ComponentSpec, Manifest
from genx_runtimes.progress import Progress
from genx_runtimes.verify import measure_range

# The bits of weights, where activations stay in float32.
WEIGHT_ONLY = {"int8-weights": 8, "int4-weights": 4}
PRECISIONS = ("fp32", "fp16", "int8", *WEIGHT_ONLY)
# Layers are ranked, and estimators compared, on so many of the samples.
_FEW = 16
_TRIED: tuple[Estimator, ...] = ("minmax", "percentile", "mse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is to be said of a component's graph at some precision.

    Args:
        kept: layers that stayed in float32.
        layers: how many could have changed.
        quality: against the original model.
        estimator: how its ranges were found; empty where there are none.
    """

    kept: tuple[str, ...]
    layers: int
    quality: Quality
    estimator: str = ""


_Graph = tuple[bytes, Made]


class ComponentMaker:
    """Makes one component at each precision.

    Args:
        spec: of the component.
        manifest: of its bundle.
        material: samples of the component.
        recipe: how to quantise.
        progress: called with a few words before each step.
    """

    def __init__(
        self,
        spec: ComponentSpec,
        manifest: Manifest,
        material: Material,
        recipe: QuantisationRecipe,
        progress: Progress,
    ) -> None:
        self._spec = spec
        self._bounds = manifest.batch
        self._contract = manifest.output
        self._material = material
        self._recipe = recipe
        self._progress = progress

    def make(self, precision: str, model: bytes, *, joins: bool = False) -> _Graph:
        """Return the component at a precision, and what is to be said of it.

        Args:
            precision: one of `PRECISIONS`.
            model: the float32 graph.
            joins: see `int8.quantise`.

        Raises:
            QualityError: it stays below the floor.
            ExportError: fp16 gives NaN or infinity.
        """
        makers: dict[str, Callable[[bytes], _Graph]] = {
            "fp32": self._make_fp32,
            "fp16": self._make_fp16,
            "int8": partial(self._make_int8, joins=joins),
            **{name: partial(self._make_weights, name) for name in WEIGHT_ONLY},
        }
        return makers[precision](model)

    def sketch(self, precision: str, model: bytes, *, joins: bool) -> bytes:
        """Return a graph that is as fast as `make`'s, from a few samples, its quality unknown."""
        if precision != "int8" or not list_layers(model):
            return model
        few = {n: array[: self._few] for n, array in self._material.calibration.items()}
        seen = observe_activations(model, few, self._bounds)
        return self._quantise(model, estimate_ranges(seen, "minmax"), joins=joins)

    def _make_fp32(self, model: bytes) -> _Graph:
        # Rounding alone: the golden samples say as much as many others.
        return model, Made(kept=(), layers=0, quality=self._measure(model, few=True))

    def _make_fp16(self, model: bytes) -> _Graph:
        self._progress(f"fp16: watching the {self._spec.name}")
        made, wide = halve(model, self._observe(model))
        quality = self._measure(made)
        if quality.worst_psnr_db == -float("inf"):
            raise ExportError(
                f"component {self._spec.name!r} gives NaN or infinity in fp16",
                fix="leave fp16 out",
            )
        layers = len(onnx.load_from_string(model).graph.node)
        return made, Made(kept=wide, layers=layers, quality=quality)

    def _make_int8(self, model: bytes, *, joins: bool) -> _Graph:
        layers = list_layers(model)
        if not layers:
            return model, Made(kept=(), layers=0, quality=self._measure(model))
        self._progress(f"int8: watching the {self._spec.name}")
        estimator, ranges = self._choose_ranges(model, self._observe(model), joins=joins)
        build = partial(self._quantise, model, ranges, joins=joins)
        return self._hold("int8", layers, build, estimator)

    def _make_weights(self, precision: str, model: bytes) -> _Graph:
        layers = list_weight_layers(model)
        if not layers:
            return model, Made(kept=(), layers=0, quality=self._measure(model))
        bits = WEIGHT_ONLY[precision]
        return self._hold(precision, layers, lambda kept: shrink_weights(model, bits, kept=kept))

    def _hold(
        self,
        what: str,
        layers: Sequence[str],
        build: Callable[[Sequence[str]], bytes],
        estimator: str = "",
    ) -> _Graph:
        held = hold_floor(
            what,
            layers,
            build,
            self._measure,
            partial(self._measure, few=True),
            self._recipe,
            progress=self._progress,
        )
        return held.model, Made(
            kept=held.kept,
            layers=held.layers,
            quality=held.quality,
            estimator=estimator,
        )

    def _quantise(
        self, model: bytes, ranges: Ranges, kept: Sequence[str] = (), *, joins: bool
    ) -> bytes:
        return quantise(model, ranges, target=self._recipe.target, kept=kept, joins=joins)

    def _observe(self, model: bytes) -> dict[str, Activation]:
        return observe_activations(model, self._material.calibration, self._bounds)

    def _choose_ranges(
        self, model: bytes, seen: Mapping[str, Activation], *, joins: bool
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
                self._measure(self._quantise(model, found[e], joins=joins), few=True).psnr_db
            ),
        )
        return best, found[best]

    def _measure(self, model: bytes, *, few: bool = False) -> Quality:
        """Compare a graph with the original model: the worst of its outputs."""
        material = self._material
        count = self._few if few else None
        feeds = {name: array[:count] for name, array in material.fresh.items()}
        with open_session(model, self._spec) as session:
            got = run_in_passes(session, feeds, self._bounds)
        found = []
        for name, expected in material.expected.items():
            # A step of a loop may give a row of an image under the image's name.
            axes = 3 if self._contract.layout == "NHW" else 4
            sampled = name == self._contract.name and self._contract.kind == "image"
            drawn = sampled and expected.ndim == axes
            found.append(
                measure_quality(
                    got[name],
                    expected[:count],
                    measure_range(expected, self._contract.range if sampled else None),
                    image=drawn and not few,
                    others=None if few else material.calibrated[name],
                )
            )
        return min(found, key=lambda q: q.psnr_db)

    @property
    def _few(self) -> int:
        return max(_FEW, self._bounds.min)
