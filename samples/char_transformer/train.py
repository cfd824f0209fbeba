"""Train the character-level transformer: `python -m samples.char_transformer.train`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from samples.char_transformer.model import CharTransformer
from samples.char_transformer.text import START, VOCABULARY, cut_windows, encode, load_text
from samples.training.loop import count_steps, prepare, save_weights
from torch import Tensor
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 2_600
    batch: int = 4
    length: int = 256
    rate: float = 2e-3
    decay: float = 0.1
    warm_up: float = 0.05


def train(settings: Settings) -> CharTransformer:
    """Train on all but the held-out text and return the model in eval mode."""
    prepare(settings.seed)
    model = CharTransformer(len(VOCABULARY), settings.length)
    batches = _draw_windows(settings)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, betas=(0.9, 0.99), weight_decay=settings.decay
    )
    # Source: Smith & Topin 2017, "Super-Convergence", arXiv:1708.07120.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, settings.steps, pct_start=settings.warm_up, cycle_momentum=False
    )
    for _ in count_steps("char_transformer", settings.steps, every=500):
        tokens = next(batches)
        logits = model(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
    return model


def _draw_windows(settings: Settings) -> Iterator[Tensor]:
    """Yield shuffled batches (B, 1 + length) of the start and a window, without end."""
    windows = torch.from_numpy(cut_windows(encode(load_text().train), settings.length, 1))
    windows = functional.pad(windows, (1, 0), value=START)
    while True:
        order = torch.randperm(len(windows))
        for first in range(0, len(order) - settings.batch + 1, settings.batch):
            yield windows[order[first : first + settings.batch]]


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
