"""Digits from the crgan, all rows in one call of the LSTM."""

from __future__ import annotations

import torch
from samples.crgan.model import LENGTH, NOISE, Generator

from torch_loops.loop import Draw, load, serve_loop


def make(batch: int) -> Draw:
    """Return what draws `batch` digits."""
    model = load(Generator(), "crgan")
    return lambda: model(torch.randn(batch, LENGTH, NOISE), torch.randint(10, (batch,)))


if __name__ == "__main__":
    serve_loop(make)
