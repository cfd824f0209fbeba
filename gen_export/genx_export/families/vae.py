"""Variational autoencoders: the decoder is sampled, the encoder comes along.

The noise of the reparameterisation z = mean + exp(log_variance / 2) * noise comes from outside:
the encoder returns the two parameters and draws nothing.

Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014, section 2.4.
"""

from __future__ import annotations

from genx_export.families.family import Family

VAE = Family(
    name="vae",
    calls={"encoder": "encoder", "decoder": "decoder"},
    outputs={"encoder": ("mean", "log_variance")},
    sampled="decoder",
)
