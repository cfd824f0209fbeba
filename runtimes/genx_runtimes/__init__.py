"""The thin runtime: opens a bundle and samples from it with numpy and one inference engine.

    from genx_runtimes import open_bundle

    with open_bundle("dcgan.genx").sampler() as sampler:
        for batch in sampler.sample(64, seed=0, conditions={"label": 3}):
            batch.images()  # (B, H, W, C) uint8; or waves(), texts(), or output as it is

Names are loaded on first use, so that importing one module (`genx_runtimes.errors`, say) costs
neither numpy nor an engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from genx_runtimes.version import __version__

if TYPE_CHECKING:
    from genx_runtimes.bundle import Bundle, open_bundle
    from genx_runtimes.errors import GenxError
    from genx_runtimes.sampler import Batch, Sampler
    from genx_runtimes.session import Session, SessionOptions

_HOMES = {
    "Batch": "sampler",
    "Bundle": "bundle",
    "GenxError": "errors",
    "Sampler": "sampler",
    "Session": "session",
    "SessionOptions": "session",
    "open_bundle": "bundle",
}

__all__ = [
    "Batch",
    "Bundle",
    "GenxError",
    "Sampler",
    "Session",
    "SessionOptions",
    "__version__",
    "open_bundle",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'genx_runtimes' has no attribute {name!r}")
    return getattr(import_module(f"genx_runtimes.{_HOMES[name]}"), name)
