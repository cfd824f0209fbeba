"""The registry of model families: how a model is cut into graphs, and which sampler runs them.

A new family costs one file here, one line in `FAMILIES` and one test file.
"""

from __future__ import annotations

from genx_export.families.family import Family
from genx_export.families.generator import GENERATOR
from genx_export.families.vae import VAE
from genx_runtimes.errors import InputError, suggest

__all__ = ["FAMILIES", "Family", "find_family"]

FAMILIES = (GENERATOR, VAE)


def find_family(name: str) -> Family:
    """Return the family called `name`.

    Raises:
        InputError: there is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise InputError(f"unknown family {name!r}", fix=suggest(name, [f.name for f in FAMILIES]))
