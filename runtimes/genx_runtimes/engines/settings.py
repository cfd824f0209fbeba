"""What an engine is built for, as the user said it; part of the engine's key."""

from __future__ import annotations

import re

import msgspec

from genx_runtimes.engines.flavours import find_flavour
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import BatchBounds

_OPTIMUM = 8


class BatchProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The batch sizes of an engine: smallest, the one it is tuned for, largest."""

    min: int
    opt: int
    max: int


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an engine is built.

    Args:
        target: a name in `flavours.TARGETS`.
        batch: batch sizes.
        compute_capabilities: GPUs to build for, such as "8.6"; empty leaves it to TensorRT: the one
            that is here, and with tensorrt-rtx Ampere and later.
        workspace_mb: scratch memory that a layer may take, in MiB; None leaves it to TensorRT.
        version_compatible: whether newer TensorRTs may load the engine.
        dla: the deep-learning accelerator to run on; None takes the GPU.
        gpu_fallback: whether layers that the accelerator cannot run go to the GPU.
    """

    target: str
    batch: BatchProfile
    compute_capabilities: tuple[str, ...] = ()
    workspace_mb: int | None = None
    version_compatible: bool = False
    dla: int | None = None
    gpu_fallback: bool = False


def parse_batch(text: str | None, bounds: BatchBounds) -> BatchProfile:
    """Return "1:8:32" (smallest, tuned for, largest) or "8" as a profile; None takes the bounds.

    Raises:
        InputError: not such a text, not ascending, or beyond the bundle's bounds.
    """
    if text is None:
        opt = min(max(_OPTIMUM, bounds.min), bounds.max)
        return BatchProfile(min=bounds.min, opt=opt, max=bounds.max)
    numbers = [int(part) for part in text.split(":") if part.isdecimal()]
    if len(numbers) != text.count(":") + 1 or len(numbers) not in (1, 3):
        raise InputError(
            f"batch is {text!r}, expected MIN:OPT:MAX or one number", fix="such as --batch 1:8:32"
        )
    low, opt, high = numbers if len(numbers) == 3 else numbers * 3
    if not bounds.min <= low <= opt <= high <= bounds.max:
        raise InputError(
            f"batch is {text}, expected {bounds.min} <= MIN <= OPT <= MAX <= {bounds.max}, the "
            f"bundle's bounds",
            fix="for larger batches export the bundle again with --batch MIN:MAX",
        )
    return BatchProfile(min=low, opt=opt, max=high)


def parse_capabilities(text: str | None) -> tuple[str, ...]:
    """Return "8.6,8.9" as compute capabilities, in order and each once.

    Raises:
        InputError: not a list of such numbers.
    """
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch(r"\d+\.\d", part):
            raise InputError(
                f"compute capability is {part!r}, expected a number such as 8.6",
                fix="genx doctor shows the one of this machine's GPU",
            )
    return tuple(sorted(set(parts), key=lambda text: tuple(map(int, text.split(".")))))


def check_settings(settings: BuildSettings) -> None:
    """Raise InputError where settings contradict each other or do not fit the target."""
    flavour = find_flavour(settings.target)
    batch = settings.batch
    if flavour.compiles_ahead:
        for given, flag in (
            (settings.dla is not None, "--dla"),
            (settings.version_compatible, "--version-compatible"),
        ):
            if given:
                raise InputError(f"{flag} is for --target tensorrt, not {settings.target}")
    elif settings.compute_capabilities:
        raise InputError(
            "--compute-capability is for --target tensorrt-rtx: TensorRT builds for the GPU that "
            "is there",
            fix="run genx build on the device",
        )
    if settings.dla is None and settings.gpu_fallback:
        raise InputError("--gpu-fallback says where layers go that --dla cannot run", fix="--dla 0")
    if settings.dla is not None and (settings.dla < 0 or batch.min != batch.max):
        raise InputError(
            f"a DLA runs one batch size, this is {batch.min}:{batch.opt}:{batch.max} on DLA "
            f"{settings.dla}",
            fix="such as --dla 0 --batch 8",
        )
    if settings.workspace_mb is not None and settings.workspace_mb < 1:
        raise InputError(f"workspace is {settings.workspace_mb} MiB, expected 1 or more")
