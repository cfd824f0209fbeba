"""Whether the golden arrays of a bundle are those that its manifest speaks of.

Source: docs/bundle.md, "golden.npz".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genx_runtimes.errors import IntegrityError
from genx_runtimes.manifest import LOOP, Manifest
from genx_runtimes.prior_checks import describe_input
from genx_runtimes.sampling_specs import OnePassSpec
from genx_runtimes.session import Array


def check_golden(arrays: Mapping[str, Array], manifest: Manifest, label: str) -> None:
    """Raise unless each component, and the loop, has its arrays, of as many samples as is said.

    Raises:
        IntegrityError: an array is missing, or has another shape or dtype; the message names it.
    """
    for name, dtype, shape in _list_expected(manifest):
        array = arrays.get(name)
        if array is None:
            raise IntegrityError(f"{label} has no {name}", fix="export the bundle again")
        wanted = (manifest.golden.count, *shape)
        fits = array.ndim == len(wanted) and all(
            not isinstance(size, int) or size == got
            for size, got in zip(wanted, array.shape, strict=True)
        )
        if not fits or array.dtype.name != dtype:
            raise IntegrityError(
                f"{name} in {label} is {array.dtype.name} {array.shape}, expected {dtype} "
                f"({', '.join(map(str, wanted))})",
                fix="export the bundle again",
            )
    _check_loop(arrays, manifest, label)


def _list_expected(manifest: Manifest) -> Iterator[tuple[str, str, tuple[int | str, ...]]]:
    """Yield name, dtype and the shape of one sample of each array."""
    for component in manifest.components:
        for side, ports in (("in", component.inputs), ("out", component.outputs)):
            for port in ports:
                yield f"{component.name}/{side}/{port.name}", port.dtype, port.shape[1:]
    if not isinstance(manifest.sampler, OnePassSpec):
        for prior in manifest.priors:
            yield f"{LOOP}/in/{prior.name}", *describe_input(prior)


def _check_loop(arrays: Mapping[str, Array], manifest: Manifest, label: str) -> None:
    """Check what a loop made, whose shape the graphs do not tell, and the way there."""
    if isinstance(manifest.sampler, OnePassSpec):
        return
    name = f"{LOOP}/out/{manifest.output.name}"
    made, steps = arrays.get(name), arrays.get(f"{LOOP}/steps/{manifest.output.name}")
    if made is None or made.ndim < 1 or len(made) != manifest.golden.count:
        got = "is missing" if made is None else f"has shape {made.shape}"
        raise IntegrityError(
            f"{name} in {label} {got}, expected {manifest.golden.count} samples",
            fix="export the bundle again",
        )
    if steps is not None and (
        steps.ndim != made.ndim + 1
        or not 1 <= steps.shape[1] <= len(made)
        or steps.shape[2:] != made.shape[1:]
    ):
        raise IntegrityError(
            f"{LOOP}/steps/{manifest.output.name} in {label} has shape {steps.shape}, expected "
            f"steps of samples of {made.shape[1:]}",
            fix="export the bundle again",
        )
