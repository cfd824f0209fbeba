"""The registry of model families: how a model is cut into graphs, and which sampler runs them.

A new family costs one file here, one line in `FAMILIES` and one test file.
"""

from __future__ import annotations

from genx_export.families.autoencoder import AUTOENCODER
from genx_export.families.diffusion import DIFFUSION
from genx_export.families.family import Family
from genx_export.families.generator import GENERATOR
from genx_export.families.pixels import PIXELS
from genx_export.families.recurrent import RECURRENT
from genx_export.families.tokens import TOKENS
from genx_export.families.translator import TRANSLATOR
from genx_export.families.vae import VAE
from genx_runtimes.errors import InputError, suggest

__all__ = ["FAMILIES", "Family", "find_family"]

FAMILIES = (GENERATOR, VAE, AUTOENCODER, RECURRENT, TOKENS, PIXELS, TRANSLATOR, DIFFUSION)


def find_family(name: str) -> Family:
    """Return the family called `name`.

    Raises:
        InputError: there is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise InputError(f"unknown family {name!r}", fix=suggest(name, [f.name for f in FAMILIES]))
