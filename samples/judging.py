"""What the samples' figures are made of: figures with bars, the digit classifier, drawn batches."""

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
from genx_runtimes.bundle import Bundle

__all__ = [
    "Figure",
    "Judge",
    "agreement",
    "coverage",
    "draw",
    "frechet_distance",
    "join",
    "make_bundle",
    "measure_likeness",
    "purity",
    "smallest_share",
]

SAMPLES = Path(__file__).parent
COUNT = 1_000
DIGITS = 10
Labels = NDArray[np.int64]
Drawn = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of merit.

    Args:
        name: what was measured, the model's name first.
        value: of the samples.
        bar: what is good enough: the least, or the most where `lower` is better.
        real: the same of the real data, where it has a meaning.
        unit: "" for a share in 0..1, else "bits", "dB" ...
        lower: whether smaller is better.
    """

    name: str
    value: float
    bar: float
    real: float | None = None
    unit: str = ""
    lower: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is reached."""
        return self.value <= self.bar if self.lower else self.value >= self.bar

    def write(self, value: float | None) -> str:
        """Return a value of this figure as text."""
        if value is None:
            return ""
        return f"{value:.2f} {self.unit}" if self.unit else f"{value:.1%}"


class Judge:
    """The digit classifier of `samples/classifier`, which names the digits in images."""

    def __init__(self) -> None:
        self._model = Classifier()
        self._model.load_state_dict(load_file(SAMPLES / "classifier" / "weights.safetensors"))
        self._model.eval()

    def name(self, images: NDArray[np.generic]) -> Labels:
        """Return the digits (N,) seen in images (N, 1, 32, 32) in 0..1."""
        with torch.inference_mode():
            scores = self._model(torch.from_numpy(images.astype(np.float32)))
        digits: Labels = scores.argmax(dim=1).numpy()
        return digits

    def features(self, images: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return the last convolution's channels, (N, 96) means over an image (N, 1, 32, 32)."""
        with torch.inference_mode():
            maps = self._model.layers[:-3](torch.from_numpy(images.astype(np.float32)))
        means: NDArray[np.float64] = maps.mean(dim=(2, 3)).numpy().astype(np.float64)
        return means


def frechet_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the squared Fréchet distance of the normal distributions fitted to features (N, F).

    0 for equal mean and covariance; it grows with blur, with artefacts, and with what is missing.

    Source: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017, "GANs Trained by a Two
    Time-Scale Update Rule Converge to a Local Nash Equilibrium", arXiv:1706.08500, equation 6, with
    the digit classifier in the place of Inception.
    """
    a, b = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    shift = one.mean(axis=0) - other.mean(axis=0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * cross)


def agreement(named: Labels, wanted: NDArray[np.generic]) -> float:
    """Return the share of digits that are what was asked for."""
    return float(np.mean(named == wanted))


def smallest_share(named: Labels) -> float:
    """Return the share of the rarest digit: 0 if one never occurs, 0.1 if all are equally many."""
    return float(np.bincount(named, minlength=DIGITS).min() / len(named))


def purity(named: Labels, codes: NDArray[np.generic]) -> float:
    """Return the share of images whose digit is the commonest of their code.

    Source: Manning, Raghavan, Schütze 2008, "Introduction to Information Retrieval", section 16.3.
    """
    return float(_count(named, codes).max(axis=1).sum() / len(named))


def coverage(named: Labels, codes: NDArray[np.generic]) -> float:
    """Return the share of the ten digits that are the commonest of some code.

    Purity alone is perfect for a generator that draws one digit only.
    """
    return len(set(_count(named, codes).argmax(axis=1))) / DIGITS


def make_bundle(model: str, folder: Path, precision: str) -> Bundle:
    """Export the sample `model` at one precision into a folder."""
    path = folder / f"{model}.genx"
    export(SAMPLES / model, path, precision=(precision,), force=True)
    return open_bundle(path)


def draw(bundle: Bundle, count: int = COUNT, batch: int = 50, **conditions: str) -> Iterator[Drawn]:
    """Yield batches of samples: their inputs, and `image` in 0..1."""
    with bundle.sampler() as sampler:
        output = sampler.manifest.output
        assert output.range is not None
        low, high = output.range
        for drawn in sampler.sample(count, batch=batch, conditions=conditions):
            yield {**drawn.feeds, "image": (drawn.output.astype(np.float32) - low) / (high - low)}


def join(batches: Iterator[Drawn]) -> Drawn:
    """Return all batches as one."""
    parts = list(batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def measure_likeness(
    model: str, folder: Path, precision: str, *, rarest: float, distance: float
) -> list[Figure]:
    """Return the share of the rarest digit that a model draws, and its distance from real digits.

    Args:
        model: the sample's name.
        folder: where its bundle is written.
        precision: of the bundle.
        rarest: the bar of the share.
        distance: the bar of the Fréchet distance.
    """
    drawn = join(draw(make_bundle(model, folder, precision)))["image"]
    seen, held_out = load_digits().split()
    judge = Judge()
    real = judge.features(held_out.images.numpy())
    same = judge.features(seen.images[: len(drawn)].numpy())
    return [
        Figure(
            name=f"{model}: rarest digit",
            value=smallest_share(judge.name(drawn)),
            bar=rarest,
            real=smallest_share(held_out.labels.numpy()),
        ),
        Figure(
            name=f"{model}: Fréchet distance from held-out digits",
            value=frechet_distance(judge.features(drawn), real),
            bar=distance,
            real=frechet_distance(same, real),
            unit="units",
            lower=True,
        ),
    ]


def _count(named: Labels, codes: NDArray[np.generic]) -> NDArray[np.int64]:
    table = np.zeros((DIGITS, DIGITS), np.int64)
    np.add.at(table, (codes, named), 1)
    return table
