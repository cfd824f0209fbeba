"""Autoregressive image models: the rows above in one graph, the way along a row in another.

The model has a method `row(above, CONDITIONS...)` -> features (B, F, W), and `step(pixel, features,
CONDITIONS..., STATES...)` -> logits (B, C, levels) and the next states.

Source: van den Oord et al., arXiv:1606.05328.
"""

from __future__ import annotations

from genx_export.families.family import Family
from genx_runtimes.sampling_specs import PixelsSpec

PIXELS = Family(
    name="pixels",
    calls={"step": "step", "row": "row"},
    outputs={"step": ("logits",), "row": ("features",)},
    sampled="step",
    sampler=PixelsSpec,
    settings={"row": "row"},
    draws=True,
)
