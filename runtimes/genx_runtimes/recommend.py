"""Which engine and variant a bundle should run with here, and why.

What was measured on this machine decides; without that, rules of thumb, which say that they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass

from genx_runtimes.bundle import Bundle
from genx_runtimes.manifest import VariantSpec
from genx_runtimes.processor import INSTRUCTION_SETS
from genx_runtimes.tuning import Tuning, recall

# GPU engines that compile, the likely faster first; and onnxruntime's GPU provider.
_COMPILERS = ("tensorrt", "tensorrt-rtx")
CUDA = "onnxruntime:cuda"
_CPU_ENGINES = ("onnxruntime", "openvino")
# Instructions that make int8 pay.
_INT8_SETS = ("avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """How to run a bundle.

    Args:
        bundle: where it lies.
        batch: the batch size that it holds for; None for any.
        backend: the engine, as in `--backend`.
        variant: as in `--precision`.
        measured: whether it was the fastest here, or follows from a rule of thumb.
        reason: why.
        command: what must be run before; "" for nothing.
    """

    bundle: str
    batch: int | None
    backend: str
    variant: str
    measured: bool
    reason: str
    command: str = ""


def recommend(
    bundle: Bundle, *, working: Collection[str], instruction_sets: Collection[str]
) -> tuple[Recommendation, ...]:
    """Say how to run a bundle: one line for each batch size measured, or one rule of thumb.

    Args:
        bundle: what is to run.
        working: the backends that ran a graph on this machine just now.
        instruction_sets: the CPU's, as in `processor.INSTRUCTION_SETS`.

    Returns:
        Nothing where no engine works.
    """
    measured = [_recall_best(bundle, t) for t in recall(bundle) if t.best.backend in working]
    if measured:
        return tuple(measured)
    guess = (
        _try_compilers(bundle, working)
        or _try_cuda(bundle, working)
        or _try_cpu(bundle, working, instruction_sets)
    )
    return (guess,) if guess else ()


def _recall_best(bundle: Bundle, tuning: Tuning) -> Recommendation:
    best = tuning.best
    return Recommendation(
        bundle=str(bundle.path),
        batch=best.batch,
        backend=best.backend,
        variant=best.variant,
        measured=True,
        reason=f"measured on this machine: {tuning.explain()}",
    )


def _try_compilers(bundle: Bundle, working: Collection[str]) -> Recommendation | None:
    backend = next((name for name in _COMPILERS if name in working), None)
    if backend is None:
        return None
    path = shlex.quote(str(bundle.path))
    build = f"genx build {path} --target {backend}"
    int8 = _find_int8(bundle, "tensorrt")
    if int8:
        reason = f"{backend} works here and {int8.name} was made for it"
        return _guess(bundle, backend, int8, reason, command=build)
    reason = (
        f"{backend} works here; the bundle has no int8 for it, which genx quantize {path} "
        "--precision fp32,int8 --target tensorrt makes"
    )
    return _guess(bundle, backend, _find_float(bundle, "fp16"), reason, command=build)


def _try_cuda(bundle: Bundle, working: Collection[str]) -> Recommendation | None:
    if CUDA not in working:
        return None
    reason = "onnxruntime works on the NVIDIA GPU, TensorRT does not"
    return _guess(bundle, CUDA, _find_float(bundle, "fp16"), reason)


def _try_cpu(
    bundle: Bundle, working: Collection[str], instruction_sets: Collection[str]
) -> Recommendation | None:
    sets = " and ".join(INSTRUCTION_SETS[n] for n in _INT8_SETS if n in instruction_sets)
    int8 = _find_int8(bundle, "cpu")
    if not sets:
        reason = "the CPU has no instructions known to make int8 pay"
    elif "openvino" not in working:
        reason = f"the CPU has {sets}, but int8 pays in openvino, which does not work here"
    elif int8 is None:
        path = shlex.quote(str(bundle.path))
        reason = (
            f"the CPU has {sets}, but the bundle no int8 for it, which genx quantize {path} "
            "--precision fp32,int8 makes"
        )
    else:
        reason = f"the CPU has {sets}, and {int8.name} was made for CPUs"
        return _guess(bundle, "openvino", int8, reason)
    backend = next((name for name in _CPU_ENGINES if name in working), None)
    return _guess(bundle, backend, _find_float(bundle, "fp32"), reason) if backend else None


def _find_int8(bundle: Bundle, target: str) -> VariantSpec | None:
    """Return the int8 variant that was made for a target; the recipe says so."""
    for variant in bundle.manifest.variants:
        if variant.precision == "int8" and variant.recipe.get("target") == target:
            return variant
    return None


def _find_float(bundle: Bundle, precision: str) -> VariantSpec:
    """Return the variant of that precision, else fp32, else the first there is."""
    variants = bundle.manifest.variants
    for wanted in (precision, "fp32"):
        for variant in variants:
            if variant.precision == wanted:
                return variant
    return variants[0]


def _guess(
    bundle: Bundle, backend: str, variant: VariantSpec, reason: str, *, command: str = ""
) -> Recommendation:
    tune = f"genx tune {shlex.quote(str(bundle.path))}"
    return Recommendation(
        bundle=str(bundle.path),
        batch=None,
        backend=backend,
        variant=variant.name,
        measured=False,
        reason=f"rule of thumb: {reason}; {tune} measures",
        command=command,
    )
