"""Digits from the crgan, with a step of the generator for each row."""

from __future__ import annotations

import torch
from samples.crgan.eager import draw_by_steps
from samples.crgan.model import LENGTH, NOISE, Generator

from torch_loops.loop import Draw, load, serve_loop


def make(batch: int) -> Draw:
    """Return what draws `batch` digits."""
    model = load(Generator(), "crgan")
    assert isinstance(model, Generator)

    def draw() -> object:
        return draw_by_steps(model, torch.randn(batch, LENGTH, NOISE), torch.randint(10, (batch,)))

    return draw


if __name__ == "__main__":
    serve_loop(make)
