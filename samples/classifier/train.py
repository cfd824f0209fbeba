"""Train the digit classifier: `python -m samples.classifier.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.classifier.model import Classifier
from samples.training.data import draw_batches, load_digits
from samples.training.loop import (
    count_steps,
    descend,
    lay_out,
    learning_rate,
    prepare,
    save_weights,
)
from torch import Tensor
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 2_000
    batch: int = 64
    rate: float = 2e-3
    shear: float = 0.15
    shift: float = 0.12


def distort(images: Tensor, settings: Settings) -> Tensor:
    """Shear, stretch and shift images (B, 1, 32, 32) in 0..1 a little, each in its own way.

    Source: Simard, Steinkraus, Platt 2003, "Best Practices for Convolutional Neural Networks
    Applied to Visual Document Analysis", ICDAR (affine distortions).
    """
    warp = torch.eye(2) + settings.shear * (2.0 * torch.rand(len(images), 2, 2) - 1.0)
    shift = settings.shift * (2.0 * torch.rand(len(images), 2, 1) - 1.0)
    grid = functional.affine_grid(
        torch.cat([warp, shift], dim=2), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)


def train(settings: Settings) -> Classifier:
    """Train on the first 8,000 digits and return the classifier in eval mode."""
    prepare(settings.seed)
    digits, _ = load_digits().split()
    batches = draw_batches(digits, settings.batch)
    classifier = lay_out(Classifier())
    optimiser = torch.optim.Adam(classifier.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, learning_rate(settings.steps, 0.2))
    for _ in count_steps("classifier", settings.steps):
        images, labels = next(batches)
        loss = functional.cross_entropy(classifier(distort(images, settings)), labels)
        descend(loss, optimiser)
        schedule.step()
    classifier.eval()
    return classifier


@torch.no_grad()
def accuracy(classifier: Classifier) -> float:
    """Share in 0..1 of the 2,000 held-out digits which the classifier names rightly."""
    _, held_out = load_digits().split()
    named = classifier(held_out.images).argmax(dim=1)
    return float((named == held_out.labels).float().mean())


def main() -> None:
    """Train, save and print the accuracy."""
    classifier = train(Settings())
    save_weights(classifier, WEIGHTS)
    print(f"classifier: {accuracy(classifier):.2%} of the held-out digits")


if __name__ == "__main__":
    main()
