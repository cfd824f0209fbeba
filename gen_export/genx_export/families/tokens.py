"""Autoregressive text models: a step from one token and the state to the next token's logits.

The model has a method `step(token, position, CONDITIONS..., STATES...)` -> logits (B, V) and the
next states: a transformer's keys and values grow along their time axis, and the step returns the
new ones alone.

Source: Vaswani et al., arXiv:1706.03762; Radford et al., "Language models are unsupervised
multitask learners", 2019.
"""

from __future__ import annotations

from genx_export.families.family import Family
from genx_runtimes.sampling_specs import TokensSpec

TOKENS = Family(
    name="tokens",
    calls={"step": "step"},
    outputs={"step": ("logits",)},
    sampled="step",
    sampler=TokensSpec,
    draws=True,
)
