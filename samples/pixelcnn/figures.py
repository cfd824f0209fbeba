"""How well the model predicts pixels that it has not seen, and draws the digit asked for."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from samples.judging import Figure, Judge, agreement, draw, join, make_bundle
from samples.pixelcnn.data import SIZE, enlarge, reduce, to_values
from samples.pixelcnn.model import LEVELS, STATES, WINDOW
from samples.training.data import load_digits

from genx_runtimes.bundle import Bundle

SAMPLES = 500
# Held-out digits, and how many go through the bundle's graphs at a time: all their rows at once.
COUNT = 400
PASS = 4


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return bits per pixel, also beside simpler models, and agreement with the label."""
    bundle = make_bundle("pixelcnn", folder, precision)
    seen, held_out = load_digits().split()
    levels = reduce(held_out)
    values = (levels / (LEVELS - 1)).unsqueeze(1).numpy()
    judge = Judge()
    real = agreement(judge.name(enlarge(values)), held_out.labels.numpy())
    drawn = join(draw(bundle, SAMPLES, batch=64, label="balanced"))
    named = judge.name(enlarge(drawn["image"]))
    bits = measure_bits(bundle, levels[:COUNT].numpy(), held_out.labels[:COUNT].numpy())
    unigram, bigram = count_bits(reduce(seen).numpy(), levels[:COUNT].numpy())
    return [
        Figure(name="pixelcnn: bits per pixel", value=bits, bar=0.42, unit="bits", lower=True),
        Figure(
            name="pixelcnn: its bits, of a unigram model's",
            value=bits / unigram,
            bar=0.45,
            lower=True,
        ),
        Figure(
            name="pixelcnn: its bits, of a bigram model's",
            value=bits / bigram,
            bar=0.55,
            lower=True,
        ),
        Figure(
            name="pixelcnn: digits as requested",
            value=agreement(named, drawn["label"]),
            bar=0.86,
            real=real,
        ),
    ]


def measure_bits(bundle: Bundle, levels: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the bits per pixel that the bundle's graphs need for images (N, 14, 14).

    The pixels are known, so that all rows of some images go through the graphs at a time.
    """
    padded = to_values(torch.from_numpy(levels)).numpy()
    padded = np.pad(padded, ((0, 0), (0, 0), (WINDOW, 0), (0, 0)))
    total = 0.0
    with bundle.session("row") as row, bundle.session("step") as step:
        for first in range(0, len(levels), PASS):
            images = padded[first : first + PASS]
            # (images, 1, rows, W, window) -> (images * rows, 1, window, W)
            above = np.lib.stride_tricks.sliding_window_view(images, WINDOW, axis=2)[:, :, :SIZE]
            above = np.ascontiguousarray(above.transpose(0, 2, 1, 4, 3)).reshape(
                -1, 1, WINDOW, SIZE
            )
            inside = (np.arange(SIZE)[:, None] + np.arange(WINDOW) >= WINDOW).astype(np.float32)
            inside = np.tile(inside[:, None, :, None], (len(images), 1, 1, 1))
            label = np.repeat(labels[first : first + PASS], SIZE)
            features = row.run({"above": above, "inside": inside, "label": label})["features"]
            rows = images[:, 0, WINDOW:].reshape(-1, SIZE)
            wanted = levels[first : first + PASS].reshape(-1, SIZE)
            states = {n: np.zeros((len(rows), *shape), np.float32) for n, shape in STATES.items()}
            left = np.zeros((len(rows), 1, 1, 1), np.float32)
            for x in range(SIZE):
                feeds = {"pixel": left, "features": features[:, :, x].copy(), "label": label}
                made = step.run({**feeds, **states})
                states = {name: made[f"next_{name}"] for name in STATES}
                total += _count_nats(made["logits"][:, 0], wanted[:, x])
                left = rows[:, x, None, None, None].copy()
    return total / np.log(2) / levels.size


def count_bits(seen: NDArray[np.int64], levels: NDArray[np.int64]) -> tuple[float, float]:
    """Return bits per pixel of images (N, H, W) under counts over others.

    Of each level alone, and of each level after the one to its left; the border counts as level 0.
    """
    alone = np.bincount(seen.ravel(), minlength=LEVELS) / seen.size
    pairs = np.ones((LEVELS, LEVELS))
    np.add.at(pairs, (_shift(seen), seen), 1)
    after = pairs / pairs.sum(axis=1, keepdims=True)
    unigram = -np.log2(alone[levels]).mean()
    return float(unigram), float(-np.log2(after[_shift(levels), levels]).mean())


def _shift(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.pad(levels, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]


def _count_nats(logits: NDArray[np.generic], wanted: NDArray[np.int64]) -> float:
    """Return the summed cross-entropy of logits (B, LEVELS) with levels (B,)."""
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(scores, wanted[:, None], axis=1)[:, 0]
    return float((np.log(np.exp(scores).sum(axis=1)) - chosen).sum())
