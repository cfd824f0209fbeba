"""Train the digit classifier: `python -m samples.classifier.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.classifier.model import Classifier
from samples.training.data import draw_batches, load_digits
from samples.training.distortion import distort
from samples.training.loop import (
    count_steps,
    descend,
    lay_out,
    learning_rate,
    prepare,
    save_weights,
)
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
        loss = functional.cross_entropy(
            classifier(distort(images, settings.shear, settings.shift)), labels
        )
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
