"""Small convolutional classifier of 32x32 digits: the judge of the generators."""

from torch import Tensor, nn

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Names the digit in an image, with three pooled convolution stages.

    Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document
    Recognition" (layout); Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167.
    """

    def __init__(self, classes: int = 10, channels: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_stage(1, channels),
            *_stage(channels, 2 * channels),
            *_stage(2 * channels, 4 * channels),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * channels * 4 * 4, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Class logits (B, 10) for image (B, 1, 32, 32) in 0..1."""
        logits: Tensor = self.layers(image)
        return logits


def _stage(width_in: int, width_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width_in, width_out, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
