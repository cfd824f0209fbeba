"""Diffusion and flow matching: a denoiser that a solver calls at each step.

The denoiser takes the noisy sample, the time (B,) float32 and conditions; in latent diffusion a
decoder turns what comes out into the sample.

Source: Ho et al., "Denoising diffusion probabilistic models", arXiv:2006.11239; Rombach et al.,
"High-resolution image synthesis with latent diffusion models", arXiv:2112.10752.
"""

from __future__ import annotations

from genx_export.families.family import OUTPUT, Family
from genx_runtimes.sampling_specs import DiffusionSpec

DIFFUSION = Family(
    name="diffusion",
    calls={"denoiser": "", "decoder": "decoder"},
    outputs={"denoiser": ("prediction",), "decoder": (OUTPUT,)},
    sampled="denoiser",
    sampler=DiffusionSpec,
    settings={"decoder": "decoder"},
    optional=frozenset({"decoder"}),
)
