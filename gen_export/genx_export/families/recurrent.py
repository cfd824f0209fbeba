"""Recurrent generators: noise for each element in, a sequence out, with an explicit state.

The model's `step` takes one element of the noise and the state; its forward(), if it has one, takes
all of the noise and gives the whole sequence in one graph.

Source: Mogren, "C-RNN-GAN", arXiv:1611.09904.
"""

from __future__ import annotations

from genx_export.families.family import OUTPUT, Family
from genx_runtimes.sampling_specs import RecurrentSpec

RECURRENT = Family(
    name="recurrent",
    calls={"step": "step", "whole": ""},
    outputs={"step": (OUTPUT,), "whole": (OUTPUT,)},
    sampled="step",
    sampler=RecurrentSpec,
    settings={"whole": "whole"},
    optional=frozenset({"whole"}),
)
