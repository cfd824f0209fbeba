"""Digits from the pixelcnn, with one full forward a pixel."""

from __future__ import annotations

import torch
from samples.pixelcnn.model import LEVELS, PixelCNN

from torch_loops.loop import Draw, load, serve_loop

SIDE = 14


def make(batch: int) -> Draw:
    """Return what draws `batch` digits."""
    model = load(PixelCNN(), "pixelcnn")
    values = torch.linspace(-1, 1, LEVELS)

    def draw() -> object:
        label = torch.randint(10, (batch,))
        image = torch.zeros(batch, 1, SIDE, SIDE)
        for y in range(SIDE):
            for x in range(SIDE):
                odds = model(image, label)[:, :, y, x].softmax(dim=1)
                image[:, 0, y, x] = values[torch.multinomial(odds, 1)[:, 0]]
        return image

    return draw


if __name__ == "__main__":
    serve_loop(make)
