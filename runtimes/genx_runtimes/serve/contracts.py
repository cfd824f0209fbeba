"""What a page or a client needs to know of a bundle to offer the right controls."""

from __future__ import annotations

import msgspec

from genx_runtimes.latents import TRUNCATION
from genx_runtimes.manifest import Manifest, NormalPrior, OutputKind
from genx_runtimes.samplers import find_sampler
from genx_runtimes.sampling_specs import SOLVERS, DiffusionSpec, TokensSpec
from genx_runtimes.serve.repository import Entry
from genx_runtimes.serve.settings import ServeSettings

FORMATS: dict[OutputKind, tuple[str, ...]] = {
    "image": ("png", "npy", "json"),
    "audio": ("wav", "npy", "json"),
}
_OTHERS = ("json", "npy")


def list_formats(kind: OutputKind) -> tuple[str, ...]:
    """Return the formats that samples of a kind come as, the usual one first."""
    return FORMATS.get(kind, _OTHERS)


def describe_contract(entry: Entry, settings: ServeSettings) -> dict[str, object]:
    """Return a bundle's contract: priors, output, what its loop takes, limits of a request."""
    manifest, limits = entry.bundle.manifest, settings.limits
    sampler, output = manifest.sampler, manifest.output
    usual = min(settings.max_batch or manifest.batch.usual, manifest.batch.max)
    length = sampler.length if isinstance(sampler, TokensSpec) else limits.length
    return {
        "name": manifest.name,
        "description": manifest.description,
        "family": manifest.family,
        "digest": entry.bundle.digest,
        "reason": entry.reason,
        "priors": [{"kind": p.kind, **msgspec.to_builtins(p)} for p in manifest.priors],
        "output": {
            "kind": output.kind,
            "range": output.range,
            "sample_rate": output.sample_rate,
            "columns": output.columns,
        },
        "sampler": {
            name: value
            for name, value in msgspec.to_builtins(sampler).items()
            if isinstance(value, (str, int, float, bool)) or name == "guidance"
        },
        "takes": sorted(_list_options(manifest)),
        "solvers": _list_solvers(manifest),
        "truncates": _truncates(manifest),
        "formats": list_formats(output.kind),
        "limits": {
            "n": limits.n,
            "steps": limits.steps,
            "length": min(length, limits.length),
            "stream": entry.model.max_batch if entry.model else usual,
        },
    }


def _list_options(manifest: Manifest) -> set[str]:
    """Return the options that have a meaning for this bundle, not only for its kind of loop."""
    takes = set(find_sampler(manifest.sampler.kind).takes)
    if isinstance(manifest.sampler, DiffusionSpec) and manifest.sampler.guidance is None:
        takes.discard("guidance")
    if not manifest.output.vocabulary:
        takes.discard("prompt")
    return takes


def _list_solvers(manifest: Manifest) -> list[str]:
    if not isinstance(manifest.sampler, DiffusionSpec):
        return []
    flows = manifest.sampler.schedule.kind == "flow"
    return [name for name in SOLVERS if not (flows and name == "ddpm")]


def _truncates(manifest: Manifest) -> bool:
    """Return whether there are latents to bound: not the noise that a diffusion starts from."""
    sampler = manifest.sampler
    noise = sampler.x if isinstance(sampler, DiffusionSpec) else None
    names = {p.name for p in manifest.priors if isinstance(p, NormalPrior)}
    return bool(names - {noise}) and all(p.name != TRUNCATION for p in manifest.priors)
