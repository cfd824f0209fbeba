"""Digits from the diffusion: 20 steps of DDIM with classifier-free guidance in one call."""

from __future__ import annotations

import math

import torch
from samples.diffusion.model import NULL, Diffusion

from torch_loops.loop import Draw, load, serve_loop

STEPS = 20
TRAIN_STEPS = 1_000
GUIDANCE = 2.0


def make(batch: int) -> Draw:
    """Return what draws `batch` digits."""
    model = load(Diffusion(), "diffusion")
    times = [round(TRAIN_STEPS - k * TRAIN_STEPS / STEPS) - 1 for k in range(STEPS)]
    offset = 0.008
    angles = [(t + 1) / TRAIN_STEPS / (1 + offset) + offset / (1 + offset) for t in times]
    signals = [max(math.cos(angle * math.pi / 2), 1e-3) for angle in angles] + [1.0]

    def draw() -> object:
        label = torch.randint(10, (batch,))
        labels = torch.cat([label, torch.full_like(label, NULL)])
        x = torch.randn(batch, 1, 32, 32)
        for k, time in enumerate(times):
            both = model(torch.cat([x, x]), torch.full((2 * batch,), float(time)), labels)
            with_it, plain = both.chunk(2)
            velocity = plain + GUIDANCE * (with_it - plain)
            signal, noise = signals[k], math.sqrt(1 - signals[k] ** 2)
            digit = signal * x - noise * velocity
            rest = noise * x + signal * velocity
            x = signals[k + 1] * digit + math.sqrt(1 - signals[k + 1] ** 2) * rest
        return x

    return draw


if __name__ == "__main__":
    serve_loop(make)
