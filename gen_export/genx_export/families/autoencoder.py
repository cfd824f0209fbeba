"""Autoencoders whose encoder gives the latent itself, with no distribution around it.

Source: van den Oord et al., "Neural discrete representation learning", arXiv:1711.00937 (VQ-VAE).
"""

from __future__ import annotations

from genx_export.families.family import Family

AUTOENCODER = Family(
    name="autoencoder",
    calls={"encoder": "encoder", "decoder": "decoder"},
    outputs={"encoder": ("z",)},
    sampled="decoder",
)
