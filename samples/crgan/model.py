"""Recurrent GAN for digits drawn row by row: an LSTM from noise, and one that reads backwards."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["LENGTH", "NOISE", "STATES", "Discriminator", "Generator"]

LENGTH = 28
WIDTH = 28
NOISE = 8
CLASSES = 10
LAYERS = 2
HIDDEN = 112
# What a step remembers: the LSTM's hidden and cell state, by layer.
STATES = {"hidden": (LAYERS, HIDDEN), "cell": (LAYERS, HIDDEN)}


class Generator(nn.Module):
    """Draws a digit, row after row, from a row of noise each and the label.

    Source: Mogren 2016, "C-RNN-GAN: Continuous recurrent neural networks with adversarial
    training", arXiv:1611.09904 (LSTM over a sequence of noise); Mirza & Osindero 2014,
    arXiv:1411.1784 (labels).
    """

    def __init__(self) -> None:
        super().__init__()
        self.labels = nn.Embedding(CLASSES, 32)
        self.lstm = nn.LSTM(NOISE + 32, HIDDEN, LAYERS, batch_first=True)
        self.draw = nn.Sequential(
            nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, WIDTH), nn.Tanh()
        )

    def forward(self, noise: Tensor, label: Tensor) -> Tensor:
        """Draw rows (B, T, 28) in -1..1 from noise (B, T, NOISE) ~ N(0, 1) and label (B,)."""
        seen, _ = self.lstm(self._join(noise, label))
        rows: Tensor = self.draw(seen)
        return rows

    def step(
        self, noise: Tensor, label: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the next row (B, 28) from noise (B, NOISE), label (B,) and states (B, LAYERS, H)."""
        before = hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()
        seen, after = self.lstm(self._join(noise[:, None], label), before)
        return self.draw(seen[:, 0]), after[0].transpose(0, 1), after[1].transpose(0, 1)

    def _join(self, noise: Tensor, label: Tensor) -> Tensor:
        codes = self.labels(label)[:, None].expand(-1, noise.shape[1], -1)
        return torch.cat([noise, codes], dim=2)


class Discriminator(nn.Module):
    """Reads two images of one digit, from the last row to the first, and scores how real they look.

    A generator that draws each digit in one way only is seen at once. Used in training only.

    Source: Mogren 2016, arXiv:1611.09904 (an LSTM reads the sequence, there in both directions);
    Lin, Khetan, Fanti, Oh 2018, "PacGAN", arXiv:1712.04086 (several samples at a time); Miyato &
    Koyama 2018, "cGANs with Projection Discriminator", arXiv:1802.05637; Odena, Olah, Shlens 2017,
    arXiv:1610.09585 (it names the digit as well).
    """

    def __init__(self, features: int = 128) -> None:
        super().__init__()
        self.look = nn.Sequential(
            spectral_norm(nn.Linear(2 * 3 * WIDTH, features)), nn.LeakyReLU(0.2)
        )
        self.lstm = nn.LSTM(features, features, batch_first=True)
        self.judge = nn.Sequential(
            spectral_norm(nn.Linear(2 * features, features)), nn.LeakyReLU(0.2)
        )
        self.score = spectral_norm(nn.Linear(features, 1))
        self.labels = spectral_norm(nn.Embedding(CLASSES, features))
        self.classify = nn.Linear(features, CLASSES)

    def forward(self, pairs: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Score (B,) of pairs (B, 2, T, 28) in -1..1 with label (B,); logits (B, 10) of it."""
        backwards = pairs.flip(2).transpose(1, 2).flatten(2)
        # Three rows at a time, with empty ones at both ends.
        padded = nn.functional.pad(backwards, (0, 0, 1, 1), value=-1.0)
        read, _ = self.lstm(self.look(padded.unfold(1, 3, 1).flatten(2)))
        seen = self.judge(torch.cat([read[:, -1], read.mean(dim=1)], dim=1))
        score: Tensor = self.score(seen).squeeze(1) + (self.labels(label) * seen).sum(dim=1)
        return score, self.classify(seen)
