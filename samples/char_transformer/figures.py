"""How well the bundle foretells held-out text, and whether it writes words."""

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from samples.char_transformer.text import (
    START,
    VOCABULARY,
    Text,
    count_pairs,
    cut_windows,
    encode,
    load_text,
)
from samples.judging import Figure, make_bundle

from genx_runtimes.bundle import Bundle
from genx_runtimes.text import decode_text

LENGTH = 256
SAMPLES = 32
# Short words are found in any text.
WORD = re.compile(r"[A-Za-z]{4,}")
# For int8, weights alone: as fast as fp32, and closer to it than with 8-bit activations.
PRECISIONS = {"int8": "int8-weights"}


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return bits per character next to a unigram and a bigram model's, and the share of words."""
    bundle = make_bundle("char_transformer", folder, PRECISIONS.get(precision, precision))
    text = load_text()
    windows = cut_windows(encode(text.held_out), LENGTH, LENGTH)
    bits = measure_bits(bundle, windows)
    unigram, bigram = measure_counts(text, windows)
    written, real = measure_words(bundle, text)
    return [
        Figure(
            name="char_transformer: bits per character",
            value=bits,
            bar=2.3,
            unit="bits",
            lower=True,
        ),
        Figure(
            name="char_transformer: of a bigram model's bits",
            value=bits / bigram,
            bar=0.70,
            lower=True,
        ),
        Figure(
            name="char_transformer: of a unigram model's bits",
            value=bits / unigram,
            bar=0.50,
            lower=True,
        ),
        Figure(
            name="char_transformer: words that exist",
            value=written,
            bar=0.15,
            real=real,
        ),
    ]


def measure_bits(bundle: Bundle, windows: NDArray[np.int64], batch: int = 64) -> float:
    """Return the mean bits per character of windows (N, T), one step of the bundle after another.

    Each character is foretold from those before it in its window, as in sampling.
    """
    total = 0.0
    with bundle.session("step") as session:
        shape = next(t.shape for t in session.inputs if t.name == "cache")[1:]
        for first in range(0, len(windows), batch):
            rows = windows[first : first + batch]
            cache = np.zeros((len(rows), *map(int, shape)), np.float32)
            token = np.full(len(rows), START)
            for place, following in enumerate(rows.T):
                outputs = session.run(
                    {"token": token, "position": np.full(len(rows), place), "cache": cache}
                )
                cache[:, :, place : place + 1] = outputs["next_cache"]
                logits = outputs["logits"].astype(np.float64)
                logits -= logits.max(axis=1, keepdims=True)
                found = logits[np.arange(len(rows)), following]
                total += float((np.log(np.exp(logits).sum(axis=1)) - found).sum())
                token = np.ascontiguousarray(following)
    return total / windows.size / math.log(2)


def measure_counts(text: Text, windows: NDArray[np.int64]) -> tuple[float, float]:
    """Return the bits per character of a unigram and of a bigram model, counted on the same text.

    Each pair counts once more than it occurs, so that none is impossible; the first character of a
    window is foretold from the line's end before it.
    """
    pairs = count_pairs(encode(text.train)) + 1.0
    single = pairs.sum(axis=0) / pairs.sum()
    after = pairs / pairs.sum(axis=1, keepdims=True)
    before = np.pad(windows[:, :-1], ((0, 0), (1, 0)), constant_values=VOCABULARY.index("\n"))
    return (
        float(-np.log2(single[windows]).mean()),
        float(-np.log2(after[before, windows]).mean()),
    )


def measure_words(bundle: Bundle, text: Text) -> tuple[float, float]:
    """Return the share of words in samples, and in held-out text, that the training text has."""
    with bundle.sampler() as sampler:
        drawn = [row for batch in sampler.sample(SAMPLES, batch=16) for row in batch.output]
    known = set(WORD.findall(text.train))
    shares = []
    written = [decode_text(row.tolist(), VOCABULARY) for row in drawn]
    windows = cut_windows(encode(text.held_out), LENGTH, LENGTH)
    for texts in (written, [decode_text(row.tolist(), VOCABULARY) for row in windows]):
        # The last word of a text is cut off.
        words = [word for part in texts for word in WORD.findall(part.rpartition(" ")[0])]
        shares.append(float(np.mean([word in known for word in words])))
    return shares[0], shares[1]
