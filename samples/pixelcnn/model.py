"""Gated PixelCNN with labels, for 14x14 digits of few grey levels; and the same a row, a pixel."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["STATES", "WINDOW", "PixelCNN"]

LAYERS = 6
CHANNELS = 24
# Channels in front of a gate.
GATED = 2 * CHANNELS
LEVELS = 4
CLASSES = 10
# The first layer looks at so many pixels to the left, and rows above; each other at one more.
REACH = 3
# Rows above that the last layer sees.
WINDOW = REACH + LAYERS - 1
# What the step along a row remembers: each layer's inputs to the left.
STATES = {f"left_{n}": (CHANNELS if n else REACH - 1,) for n in range(LAYERS)}


class GatedLayer(nn.Module):
    """One layer of both stacks: the vertical sees all rows above, the horizontal its own row.

    Source: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders",
    arXiv:1606.05328, equation 4 and figure 2.
    """

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first
        width, self.rows, columns = (1, REACH, 2 * REACH + 1) if first else (CHANNELS, 2, 3)
        self.vertical = nn.Conv2d(width, GATED, (self.rows, columns), padding=(0, columns // 2))
        self.down = nn.Conv2d(GATED, GATED, 1)
        # Pixels to the left come as channels, so that a row and a pixel are computed alike.
        self.across = nn.Linear(REACH if first else 2 * CHANNELS, GATED, bias=False)
        self.residual = nn.Linear(CHANNELS, CHANNELS)

    def go_down(self, rows: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """From rows (B, C, R, W) and the label's shift (B, G) to the next (B, C, R', W).

        And to what it tells the horizontal stack, (B, G, R', W).
        """
        mixed = self.vertical(rows)
        return gate(mixed + shift[:, :, None, None], dim=1), self.down(mixed)

    def go_across(self, left: Tensor, here: Tensor | None, down: Tensor) -> Tensor:
        """From what is to the left (..., L), the features here (..., C) and down (..., G) to C."""
        seen = left if here is None else torch.cat([left, here], dim=-1)
        made: Tensor = self.residual(gate(self.across(seen) + down, dim=-1))
        return made if here is None else here + made


class PixelCNN(nn.Module):
    """Draws digits pixel by pixel, each from a softmax over its grey levels.

    Source: van den Oord et al. 2016, arXiv:1606.05328 (gates, two stacks, conditions).
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GatedLayer(first=not n) for n in range(LAYERS))
        self.labels = nn.Embedding(CLASSES, LAYERS * GATED)
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(CHANNELS, GATED), nn.ReLU(), nn.Linear(GATED, LEVELS)
        )

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Logits (B, H, W, LEVELS) of each pixel of image (B, 1, H, W) in -1..1, label (B,).

        Each sees the rows above and the pixels to its left.
        """
        rows, here, pixels = image, None, image.permute(0, 2, 3, 1)
        left = torch.cat([shift_right(pixels, by) for by in range(1, REACH + 1)], dim=-1)
        for layer, shift in zip(self.layers, self._shifts(label), strict=True):
            # The first layer does not see its own row: what it makes of the last one is left out.
            padding = layer.rows if layer.first else layer.rows - 1
            above = functional.pad(rows, (0, 0, padding, 0))
            rows, down = layer.go_down(above[:, :, : -1 if layer.first else None], shift)
            down = down.permute(0, 2, 3, 1) + shift[:, None, None]
            here = layer.go_across(left, here, down)
            left = shift_right(here, 1)
        logits: Tensor = self.head(here)
        return logits

    def row(self, above: Tensor, inside: Tensor, label: Tensor) -> Tensor:
        """What the vertical stack tells a row, layer after layer: (B, LAYERS * G, W).

        From the WINDOW rows above (B, 1, WINDOW, W), zeros outside the image; inside
        (B, 1, WINDOW, 1) is 1 in the image and 0 outside; label (B,).
        """
        rows, parts = above, []
        # Outside the image forward() has zeros, in each layer.
        exists = functional.pad(inside, (0, 0, 0, 1), value=1.0)
        for layer, shift in zip(self.layers, self._shifts(label), strict=True):
            rows, down = layer.go_down(rows, shift)
            rows = rows * exists[:, :, -rows.shape[2] :]
            parts.append(down[:, :, -1])
        return torch.cat(parts, dim=1)

    def step(
        self,
        pixel: Tensor,
        features: Tensor,
        label: Tensor,
        left_0: Tensor,
        left_1: Tensor,
        left_2: Tensor,
        left_3: Tensor,
        left_4: Tensor,
        left_5: Tensor,
    ) -> tuple[Tensor, ...]:
        """Logits (B, 1, LEVELS) of the next pixel of a row, and what each layer has to its left.

        From the pixel to the left (B, 1, 1, 1), a column of `row` (B, LAYERS * G), label (B,) and
        the states.
        """
        columns = (features + self.labels(label)).chunk(LAYERS, dim=1)
        pixels = torch.cat([pixel.flatten(1), left_0], dim=1)
        lefts = (pixels, left_1, left_2, left_3, left_4, left_5)
        here, after = None, [pixels[:, : REACH - 1]]
        for layer, left, down in zip(self.layers, lefts, columns, strict=True):
            here = layer.go_across(left, here, down)
            after.append(here)
        return self.head(here).unsqueeze(1), *after[:LAYERS]

    def _shifts(self, label: Tensor) -> tuple[Tensor, ...]:
        return self.labels(label).chunk(LAYERS, dim=1)


def gate(mixed: Tensor, dim: int) -> Tensor:
    """Halve a dimension: tanh of the first half, times the sigmoid of the second."""
    value, opening = mixed.chunk(2, dim=dim)
    return torch.tanh(value) * torch.sigmoid(opening)


def shift_right(pixels: Tensor, by: int) -> Tensor:
    """Return (B, H, W, C) `by` columns to the right, zeros coming in."""
    return functional.pad(pixels, (0, 0, by, 0))[:, :, : pixels.shape[2]]
