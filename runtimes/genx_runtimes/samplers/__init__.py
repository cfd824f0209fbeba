"""The registry of sampling loops, by the manifest's `sampler.kind`.

A loop is imported when a bundle needs it. A new kind costs one file here, a spec in
`sampling_specs.py` and one line in `SAMPLERS`.
"""

from __future__ import annotations

from importlib import import_module

from genx_runtimes.errors import ManifestError, suggest
from genx_runtimes.samplers.loop import SampleLoop

__all__ = ["SAMPLERS", "find_sampler"]

# kind: the module in this package and the `SampleLoop` in it
SAMPLERS = {
    "feedforward": ("feedforward", "FEEDFORWARD"),
    "translate": ("translate", "TRANSLATE"),
    "recurrent": ("recurrent", "RECURRENT"),
    "tokens": ("tokens", "TOKENS"),
    "pixels": ("pixels", "PIXELS"),
    "diffusion": ("diffusion", "DIFFUSION"),
}


def find_sampler(kind: str) -> SampleLoop:
    """Return the loop for a manifest's `sampler.kind`.

    Raises:
        ManifestError: this genx has none of that kind.
    """
    if kind not in SAMPLERS:
        raise ManifestError(f"unknown sampler {kind!r}", fix=suggest(kind, SAMPLERS))
    module, name = SAMPLERS[kind]
    loop: SampleLoop = getattr(import_module(f"genx_runtimes.samplers.{module}"), name)
    return loop
