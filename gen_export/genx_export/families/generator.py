"""Generators: latents in, sample out, in one pass.

Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Chen et al., "InfoGAN",
NeurIPS 2016 (codes are priors like any other).
"""

from __future__ import annotations

from genx_export.families.family import Family

GENERATOR = Family(
    name="generator",
    calls={"generator": ""},
    sampled="generator",
)
