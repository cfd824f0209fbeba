"""Digits from the pixelcnn, with one full forward a pixel."""

from __future__ import annotations

import itertools

import torch
from samples.pixelcnn.model import PixelCNN
from samples.pixelcnn.naive import draw_naively

from torch_loops.loop import Draw, load, serve_loop


def make(batch: int) -> Draw:
    """Return what draws `batch` digits."""
    model = load(PixelCNN(), "pixelcnn")
    assert isinstance(model, PixelCNN)
    starts = itertools.count(0, batch)

    def draw() -> object:
        first = next(starts)
        labels = torch.randint(10, (batch,))
        return draw_naively(model, labels, 0, range(first, first + batch))

    return draw


if __name__ == "__main__":
    serve_loop(make)
