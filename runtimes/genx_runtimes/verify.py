"""Proof, on the device itself, that a bundle still draws what the original model drew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genx_runtimes.batches import find_bounds, fit_batches, plan_passes
from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import VerificationError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import LOOP, ComponentSpec, Manifest, OutputSpec, VariantSpec
from genx_runtimes.sampler import Sampler
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.sampling_specs import OnePassSpec, TranslateSpec
from genx_runtimes.session import Array, Session, SessionOptions
from genx_runtimes.verify_loop import LoopCheck, check_loop


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCheck:
    """How far one output is from the golden one.

    Args:
        component: the graph.
        output: the output's name.
        max_error: max |got - golden| over the output's range.
        psnr_db: peak signal-to-noise ratio over that range in dB; infinite where equal.
    """

    component: str
    output: str
    max_error: float
    psnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """What `verify_bundle` found.

    Args:
        variant: the variant that was run.
        backend: the backend that ran it.
        tolerance: the variant's limit for `max_error`.
        min_psnr_db: the variant's limit for `psnr_db`; None asks for nothing.
        samples: golden samples compared.
        batches: batch sizes at which they were run.
        latents_equal: whether the drawn latents equal the golden ones bit for bit.
        checks: one an output, the worst over all batch sizes.
        loop: the whole sampling loop; None where it is one pass.
        loop_tolerance: the variant's limit for `loop.error`; None asks for nothing.
    """

    variant: str
    backend: str
    tolerance: float
    min_psnr_db: float | None
    samples: int
    batches: tuple[int, ...]
    latents_equal: bool
    checks: tuple[OutputCheck, ...]
    loop: LoopCheck | None = None
    loop_tolerance: float | None = None

    @property
    def max_error(self) -> float:
        """The largest error of any output."""
        return max(check.max_error for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether latents are equal and every output is as close as the variant states."""
        floor = -math.inf if self.min_psnr_db is None else self.min_psnr_db
        return (
            self.latents_equal
            and self.loop_holds
            and all(c.max_error <= self.tolerance and c.psnr_db >= floor for c in self.checks)
        )

    @property
    def loop_holds(self) -> bool:
        """Whether the sampling loop is as close as the variant states."""
        if self.loop is None or self.loop_tolerance is None:
            return True
        return self.loop.error <= self.loop_tolerance

    def require(self) -> None:
        """Raise VerificationError unless the bundle passed."""
        if not self.latents_equal:
            raise VerificationError(
                "the latents drawn here differ from the golden ones: numpy draws other numbers",
                fix="report numpy's version and this platform to the genx project",
            )
        for check in self.checks:
            if not check.max_error <= self.tolerance:
                raise VerificationError(
                    f"{check.component}/{check.output} ({self.variant}, {self.backend}) is off by "
                    f"{check.max_error:.2e} of its range, allowed {self.tolerance:.0e}",
                    fix="try another --backend or --precision, or export again with --tolerance",
                )
            if self.min_psnr_db is not None and not check.psnr_db >= self.min_psnr_db:
                raise VerificationError(
                    f"{check.component}/{check.output} ({self.variant}, {self.backend}) has "
                    f"{check.psnr_db:.1f} dB PSNR, the variant states {self.min_psnr_db:.1f} dB",
                    fix="try another --backend or --precision",
                )
        if self.loop is not None and not self.loop_holds:
            raise VerificationError(
                f"the sampling loop ({self.variant}, {self.backend}) drifts by "
                f"{self.loop.error:.2e}, allowed {self.loop_tolerance:.0e}",
                fix="try another --backend or --precision",
            )


def verify_bundle(
    bundle: Bundle,
    *,
    backend: str = "onnxruntime",
    precision: str | None = None,
    options: SessionOptions | None = None,
) -> VerificationReport:
    """Compare a bundle's outputs, and the latents drawn here, with its golden samples.

    Every component runs at three batch sizes: one by one, in threes, and all at once, as far as
    the bundle's bounds, and those of a compiled engine, allow. A sampling loop then runs from its
    first step to its last.

    Raises:
        GenxError: the bundle or the backend cannot be used. A failed comparison is no error here:
            see `VerificationReport.require`.
    """
    golden = bundle.golden()
    manifest = bundle.manifest
    variant = bundle.variant(precision)
    sizes: set[int] = set()
    checks: list[OutputCheck] = []
    for component in manifest.components:
        with bundle.session(
            component.name, backend=backend, precision=precision, options=options
        ) as session:
            batches, found = _check_component(session, component, golden, manifest)
            sizes.update(batches)
            checks += found
    loop = None
    if not isinstance(manifest.sampler, OnePassSpec):
        with bundle.sampler(backend=backend, precision=precision, options=options) as sampler:
            loop = check_loop(manifest, sampler.sessions, golden)
    return _report(bundle, variant, backend, golden, sizes, checks, loop)


def verify_sampler(
    bundle: Bundle, sampler: Sampler, variant: VariantSpec, backend: str
) -> VerificationReport:
    """Compare what a loaded sampler draws with the golden samples; see `verify_bundle`.

    Components that sampling does not run are left out.
    """
    golden = bundle.golden()
    manifest = bundle.manifest
    sizes: set[int] = set()
    checks: list[OutputCheck] = []
    for name, session in sampler.sessions.items():
        batches, found = _check_component(session, manifest.component(name), golden, manifest)
        sizes.update(batches)
        checks += found
    loop = None
    if not isinstance(manifest.sampler, OnePassSpec):
        loop = check_loop(manifest, sampler.sessions, golden)
    return _report(bundle, variant, backend, golden, sizes, checks, loop)


def _report(
    bundle: Bundle,
    variant: VariantSpec,
    backend: str,
    golden: Mapping[str, Array],
    sizes: set[int],
    checks: list[OutputCheck],
    loop: LoopCheck | None,
) -> VerificationReport:
    return VerificationReport(
        variant=variant.name,
        backend=backend,
        tolerance=variant.tolerance,
        min_psnr_db=variant.min_psnr_db,
        samples=bundle.manifest.golden.count,
        batches=tuple(sorted(sizes)),
        latents_equal=_latents_equal(bundle, golden),
        checks=tuple(checks),
        loop=loop,
        loop_tolerance=variant.loop_tolerance,
    )


def _check_component(
    session: Session, component: ComponentSpec, golden: Mapping[str, Array], manifest: Manifest
) -> tuple[tuple[int, ...], list[OutputCheck]]:
    """Compare a component as a session runs it; return the batch sizes and what was found."""
    own = {n: a for n, a in golden.items() if n.startswith(f"{component.name}/")}
    batches, fed = fit_batches(session, manifest.batch, own)
    return batches, compare_component(session, component, fed, batches, manifest.output)


def verify_component(
    bundle: Bundle,
    session: Session,
    component: str,
    variant: VariantSpec,
    backend: str = "the new engine",
) -> float:
    """Return the largest error of a component's outputs, as it runs in a session.

    Args:
        bundle: whose golden samples they are compared with.
        session: of the component.
        component: of the bundle.
        variant: what the session runs.
        backend: what the session is called in an error.

    Raises:
        VerificationError: it is beyond what the variant states.
    """
    manifest = bundle.manifest
    spec = manifest.component(component)
    batches, checks = _check_component(session, spec, bundle.golden(), manifest)
    report = VerificationReport(
        variant=variant.name,
        backend=backend,
        tolerance=variant.tolerance,
        min_psnr_db=variant.min_psnr_db,
        samples=manifest.golden.count,
        batches=batches,
        latents_equal=True,
        checks=tuple(checks),
    )
    report.require()
    return report.max_error


def compare_component(
    session: Session,
    component: ComponentSpec,
    golden: Mapping[str, Array],
    batches: tuple[int, ...],
    contract: OutputSpec,
) -> list[OutputCheck]:
    """Run a component on its golden inputs at each batch size; return each output's worst."""
    feeds = {s.name: golden[f"{component.name}/in/{s.name}"] for s in component.inputs}
    count = len(next(iter(feeds.values())))
    checks = []
    runs = [
        [
            session.run({n: a[first : first + size] for n, a in feeds.items()})
            for first in range(0, count, size)
        ]
        for size in batches
    ]
    for spec in component.outputs:
        expected = golden[f"{component.name}/out/{spec.name}"]
        image_range = contract.range if spec.name == contract.name else None
        scale = measure_range(expected, image_range)
        worst, psnr = 0.0, math.inf
        for run in runs:
            got = np.concatenate([part[spec.name] for part in run])
            error, ratio = measure_error(got, expected, scale)
            worst, psnr = max(worst, error), min(psnr, ratio)
        checks.append(
            OutputCheck(component=component.name, output=spec.name, max_error=worst, psnr_db=psnr)
        )
    return checks


def measure_range(expected: Array, image_range: tuple[float, float] | None) -> float:
    """Return the denominator of errors: the image's range, else the spread of the golden values.

    Constant outputs have no spread; their magnitude, or 1, stands in.
    """
    if image_range is not None:
        return image_range[1] - image_range[0]
    spread = float(expected.max() - expected.min())
    return spread or float(np.abs(expected).max()) or 1.0


def measure_error(got: Array, expected: Array, scale: float) -> tuple[float, float]:
    """Return max |got - expected| / scale and the PSNR in dB; NaN counts as infinitely wrong."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return math.inf, -math.inf
    difference = (got.astype(np.float64) - expected.astype(np.float64)) / scale
    mean_square = float(np.mean(np.square(difference)))
    psnr = math.inf if mean_square == 0 else -10 * math.log10(mean_square)
    return float(np.abs(difference).max()), psnr


def repeat_golden(bundle: Bundle, sampler: Sampler) -> Array:
    """Return the golden samples (N, ...) as they are made here, in batches that the engines take.

    Raises:
        InputError: the engines take no batch size in common.
        BackendError: an engine failed.
    """
    manifest, golden = bundle.manifest, bundle.golden()
    names = [prior.name for prior in manifest.priors]
    if isinstance(manifest.sampler, TranslateSpec):  # no seed draws the images that went in
        names.append(manifest.sampler.image)
    place, count = _find_drawn(manifest), manifest.golden.count
    draws = (
        Draw(
            seed=manifest.golden.seed,
            indices=chosen.tolist(),
            feeds={name: golden[f"{place}/in/{name}"][chosen] for name in names},
        )
        for chosen in plan_passes(count, find_bounds(sampler.sessions.values(), manifest.batch))
    )
    return np.concatenate([batch.output for batch in sampler.decode(draws)])[:count]


def _find_drawn(manifest: Manifest) -> str:
    """Return whose golden inputs are what was drawn: the loop's, or those of its one graph."""
    return manifest.sampler.component if isinstance(manifest.sampler, OnePassSpec) else LOOP


def _latents_equal(bundle: Bundle, golden: Mapping[str, Array]) -> bool:
    manifest = bundle.manifest
    drawn = LatentSource(manifest.priors, manifest.golden.seed).draw(range(manifest.golden.count))
    place = _find_drawn(manifest)
    return all(np.array_equal(array, golden[f"{place}/in/{n}"]) for n, array in drawn.items())
