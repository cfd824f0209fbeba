"""Train the original GAN: `python -m samples.gan.train`."""

from pathlib import Path

from samples.gan.model import Discriminator, Generator
from samples.training.game import Settings, play
from samples.training.loop import save_weights
from torch import nn

WEIGHTS = Path(__file__).parent / "weights.safetensors"
SETTINGS = Settings(generator_rate=3e-4, discriminator_rate=3e-4)


def train(settings: Settings) -> nn.Module:
    """Return the averaged generator in eval mode."""
    return play("gan", settings, Generator, Discriminator)


if __name__ == "__main__":
    save_weights(train(SETTINGS), WEIGHTS)
