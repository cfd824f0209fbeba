"""From a diffusers scheduler to the schedule and the solver in a manifest.

Source: diffusers' DDPMScheduler and DDIMScheduler; docs/bundle.md, "Sampler".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from genx_export.sources.huggingface.folder import (
    check_class,
    import_library,
    read_json,
)
from genx_export.sources.huggingface.settings import Settings
from genx_runtimes.errors import SourceError
from genx_runtimes.samplers.schedules import make_betas
from genx_runtimes.sampling_specs import Schedule

SCHEDULER_CONFIG = "scheduler_config.json"

_SOLVERS = {"DDPMScheduler": "ddpm", "DDIMScheduler": "ddim"}
_KINDS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
_PREDICTIONS = {"epsilon": "noise", "sample": "sample", "v_prediction": "velocity"}
# What `pipeline()` takes unless it is told otherwise.
_STEPS = {"ddpm": 1000, "ddim": 50}
_MANY = 100
# Betas are float32 in diffusers.
_SAME = 1e-5


def load_scheduler(folder: Path, name: object, known: tuple[str, ...]) -> tuple[Any, Settings]:
    """Return a scheduler of diffusers from its folder, and its settings with defaults filled in.

    Raises:
        SourceError: of another class, or malformed.
    """
    path = folder / SCHEDULER_CONFIG
    settings = read_json(path)
    kind = check_class(path, name, known)
    library = import_library("diffusers", folder)
    try:
        made = getattr(library, kind).from_config(settings)
    except Exception as err:  # TypeError, ValueError, NotImplementedError ...
        raise SourceError(
            f"{path}: diffusers cannot make this {kind}: {err}", fix="save the pipeline again"
        ) from err
    return made, Settings(path, made.config)


def describe_scheduler(folder: Path, name: object) -> tuple[dict[str, object], list[str]]:
    """Return the fields of the sampler that a scheduler stands for, and warnings.

    Args:
        folder: with scheduler_config.json.
        name: of its class.

    Raises:
        SourceError: a class or a setting that a bundle cannot express.
    """
    scheduler, settings = load_scheduler(folder, name, tuple(_SOLVERS))
    solver = _SOLVERS[type(scheduler).__name__]
    prediction = settings.text("prediction_type")
    if settings.get("thresholding"):
        raise settings.cannot_express("thresholding")
    if not settings.text("variance_type", default="fixed_small").startswith("fixed_small"):
        raise settings.cannot_express("variance_type")
    if prediction not in _PREDICTIONS:
        raise settings.cannot_express("prediction_type")
    betas = np.asarray(scheduler.betas, np.float64)
    if betas.ndim != 1 or not betas.size:
        raise settings.cannot_express("trained_betas")
    if prediction == "epsilon" and not np.prod(1 - betas) > 0:
        raise settings.cannot_express("rescale_betas_zero_snr")  # x_0 is not in the noise
    offset = settings.integer("steps_offset", least=0)
    if offset >= len(betas):
        raise settings.cannot_express("steps_offset")
    steps = min(_STEPS[solver], len(betas) - offset)
    try:
        schedule = _describe_schedule(settings, betas)
    except ValueError as err:
        raise SourceError(f"{settings.path}: {err}", fix="save the pipeline again") from err
    fields: dict[str, object] = {
        "prediction": _PREDICTIONS[prediction],
        "schedule": msgspec.to_builtins(schedule),
        "solver": solver,
        "steps": steps,
    }
    if settings.get("clip_sample"):
        limit = settings.number("clip_sample_range")
        fields["clip"] = [-limit, limit]
    warnings = []
    if steps > _MANY:
        warnings.append(
            f"the pipeline takes {steps} steps unless told otherwise, and so do export and this "
            f"bundle: genx sample --solver ddim --steps 50 is quicker"
        )
    if settings.text("timestep_spacing") == "linspace":
        warnings.append(
            "with linspace spacing diffusers steps to a time beside the next one; genx steps to it"
        )
    return fields, warnings


def _describe_schedule(settings: Settings, betas: np.ndarray[Any, Any]) -> Schedule:
    """Return the schedule by its name where that gives the same betas, else the betas."""
    common: dict[str, Any] = {
        "train_steps": len(betas),
        "spacing": settings.text("timestep_spacing"),
        "steps_offset": settings.integer("steps_offset", least=0),
        "final_one": settings.get("set_alpha_to_one") is not False,
    }
    kind: Any = _KINDS.get(settings.text("beta_schedule"))
    if kind:
        named = Schedule(kind=kind, **common)
        if kind != "cosine":
            named = msgspec.structs.replace(
                named,
                beta_start=settings.number("beta_start"),
                beta_end=settings.number("beta_end"),
            )
        if np.allclose(make_betas(named), betas, rtol=_SAME, atol=_SAME**2):
            return named
    return Schedule(kind="betas", betas=tuple(betas.tolist()), **common)
