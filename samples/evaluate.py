"""Measure the trained samples through their bundles: `python -m samples.evaluate`.

Prints one table and exits with 1 if a figure misses its bar. With `--precision int8` the bundles
hold the quantised models alone.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from samples.classifier.model import Classifier
from samples.training.data import load_digits

from genx_export import export
from genx_runtimes import open_bundle

__all__ = ["Figure", "Judge", "evaluate"]

SAMPLES = Path(__file__).parent
COUNT = 1_000
DIGITS = 10
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of merit, as a share in 0..1.

    Args:
        name: what was measured.
        value: of the samples.
        bar: the least that is good enough.
        real: the same of the real digits, where it has a meaning.
    """

    name: str
    value: float
    bar: float
    real: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the bar is reached."""
        return self.value >= self.bar


class Judge:
    """The digit classifier of `samples/classifier`, which names the digits in images."""

    def __init__(self) -> None:
        self._model = Classifier()
        self._model.load_state_dict(load_file(SAMPLES / "classifier" / "weights.safetensors"))
        self._model.eval()

    def name(self, images: NDArray[np.float32]) -> Labels:
        """Return the digits (N,) seen in images (N, 1, 32, 32) in 0..1."""
        with torch.inference_mode():
            scores = self._model(torch.from_numpy(images))
        digits: Labels = scores.argmax(dim=1).numpy()
        return digits


def agreement(named: Labels, wanted: Labels) -> float:
    """Return the share of digits that are what was asked for."""
    return float(np.mean(named == wanted))


def smallest_share(named: Labels) -> float:
    """Return the share of the rarest digit: 0 if one never occurs, 0.1 if all are equally many."""
    return float(np.bincount(named, minlength=DIGITS).min() / len(named))


def purity(named: Labels, codes: Labels) -> float:
    """Return the share of images whose digit is the commonest of their code.

    Source: Manning, Raghavan, Schütze 2008, "Introduction to Information Retrieval", section 16.3.
    """
    table = np.zeros((DIGITS, DIGITS), np.int64)
    np.add.at(table, (codes, named), 1)
    return float(table.max(axis=1).sum() / len(named))


def coverage(named: Labels, codes: Labels) -> float:
    """Return the share of the ten digits that are the commonest of some code.

    Purity alone is perfect for a generator that draws one digit only.
    """
    table = np.zeros((DIGITS, DIGITS), np.int64)
    np.add.at(table, (codes, named), 1)
    return len(set(table.argmax(axis=1))) / DIGITS


def draw(
    model: str, folder: Path, precision: str, **conditions: str
) -> Iterator[dict[str, NDArray[np.generic]]]:
    """Export a sample's model and yield batches: its inputs, and `image` (B, 1, 32, 32) in 0..1."""
    path = folder / f"{model}.genx"
    export(SAMPLES / model, path, precision=(precision,), force=True)
    with open_bundle(path).sampler() as sampler:
        assert sampler.manifest.output.range is not None
        low, high = sampler.manifest.output.range
        for batch in sampler.sample(COUNT, batch=50, conditions=conditions):
            yield {**batch.feeds, "image": (batch.output.astype(np.float32) - low) / (high - low)}


def evaluate(folder: Path, precision: str = "fp32") -> list[Figure]:
    """Measure all samples.

    Args:
        folder: where the bundles are written.
        precision: of the bundles.
    """
    judge = Judge()
    _, held_out = load_digits().split()
    images, labels = held_out.images.numpy(), held_out.labels.numpy()
    accuracy = agreement(judge.name(images), labels)

    drawn = _join(draw("dcgan", folder, precision, label="balanced"))
    dcgan = agreement(judge.name(drawn["image"]), drawn["label"])
    drawn = _join(draw("vae", folder, precision))
    vae = smallest_share(judge.name(drawn["image"]))
    drawn = _join(draw("infogan", folder, precision, category="balanced"))
    named, codes = judge.name(drawn["image"]), drawn["category"].argmax(axis=1)
    return [
        Figure(name="classifier: held-out digits named rightly", value=accuracy, bar=0.97),
        Figure(name="dcgan: digits as requested", value=dcgan, bar=0.90, real=accuracy),
        Figure(name="vae: rarest digit", value=vae, bar=0.03, real=smallest_share(labels)),
        Figure(
            name="infogan: purity of the categorical code",
            value=purity(named, codes),
            bar=0.80,
            real=accuracy,
        ),
        Figure(
            name="infogan: digits that a code stands for",
            value=coverage(named, codes),
            bar=0.80,
            real=1.0,
        ),
    ]


def _join(batches: Iterator[dict[str, NDArray[np.generic]]]) -> dict[str, NDArray]:  # type: ignore[type-arg]
    parts = list(batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"))
    precision = parser.parse_args().precision
    with tempfile.TemporaryDirectory() as name:
        figures = evaluate(Path(name), precision)
    print(f"{'':44}{'value':>8}{'bar':>8}{'real':>8}")
    for figure in figures:
        real = "" if figure.real is None else f"{figure.real:.1%}"
        verdict = "" if figure.passed else "  MISSED"
        print(f"{figure.name:44}{figure.value:8.1%}{figure.bar:8.1%}{real:>8}{verdict}")
    return 0 if all(figure.passed for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
