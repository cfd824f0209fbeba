"""Train the deep GAN: `python -m samples.dgan.train`."""

from pathlib import Path

from samples.dgan.model import Discriminator, Generator
from samples.training.game import Settings, play
from samples.training.loop import save_weights
from torch import nn

WEIGHTS = Path(__file__).parent / "weights.safetensors"
SETTINGS = Settings(generator_rate=5e-4, discriminator_rate=5e-4)


def train(settings: Settings) -> nn.Module:
    """Return the averaged generator in eval mode."""
    return play("dgan", settings, Generator, Discriminator)


if __name__ == "__main__":
    save_weights(train(SETTINGS), WEIGHTS)
