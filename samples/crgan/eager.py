"""What the bundle is measured against: PyTorch, a step of the generator for each row."""

import torch
from samples.crgan.model import STATES, Generator
from torch import Tensor

__all__ = ["draw_by_steps"]


@torch.inference_mode()
def draw_by_steps(model: Generator, noise: Tensor, label: Tensor) -> Tensor:
    """Return rows (B, T, 28) in -1..1 from noise (B, T, NOISE) ~ N(0, 1) and label (B,)."""
    hidden, cell = (torch.zeros(len(noise), *shape) for shape in STATES.values())
    rows = []
    for position in range(noise.shape[1]):
        row, hidden, cell = model.step(noise[:, position], label, hidden, cell)
        rows.append(row)
    return torch.stack(rows, dim=1)
