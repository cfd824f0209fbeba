"""What the bundle is measured against: PyTorch, one whole pass through the network a pixel."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from samples.pixelcnn.data import SIZE, to_values
from samples.pixelcnn.model import PixelCNN
from torch import Tensor

from genx_runtimes.noise import NoiseStream

__all__ = ["draw_naively"]


@torch.inference_mode()
def draw_naively(
    model: PixelCNN, labels: Tensor, seed: int, indices: Sequence[int]
) -> NDArray[np.float32]:
    """Return the images (B, 1, 14, 14) in -1..1 that the bundle draws of these samples.

    Args:
        model: in eval mode.
        labels: (B,) int64.
        seed: of the uniforms that decide.
        indices: of the B samples.
    """
    drawn = [NoiseStream(seed, "token").at(i).random_sample(SIZE * SIZE) for i in indices]
    uniforms = torch.from_numpy(np.asarray(drawn)).reshape(len(labels), SIZE, SIZE)
    levels = torch.zeros(len(labels), SIZE, SIZE, dtype=torch.int64)
    images = torch.zeros(len(labels), 1, SIZE, SIZE)
    for y in range(SIZE):
        for x in range(SIZE):
            logits = model(images, labels)[:, y, x].double()
            reached = torch.softmax(logits, dim=1).cumsum(dim=1)
            beyond = reached > uniforms[:, y, x, None] * reached[:, -1:]
            levels[:, y, x] = beyond.int().argmax(dim=1)
            images[:, :, y, x] = to_values(levels[:, y : y + 1, x : x + 1])[:, :, 0, 0]
    made: NDArray[np.float32] = images.numpy()
    return made
