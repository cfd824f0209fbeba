"""The text in Python's own help, `pydoc_data.topics`, as characters and as tokens."""

import re
from dataclasses import dataclass
from pydoc_data.topics import topics

import numpy as np
from numpy.typing import NDArray

__all__ = ["START", "VOCABULARY", "Text", "count_pairs", "cut_windows", "encode", "load_text"]

# The start, which stands for whatever came before; then newline and printable ASCII.
VOCABULARY = ("", "\n", *map(chr, range(32, 127)))
START = 0
# Typographic marks as they are typed; any other character is left out.
_PLAIN = str.maketrans({"“": '"', "”": '"', "’": "'", "‘": "'", "–": "-", "—": "-", "…": "..."})
_RUN = 20
_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What the model learns from, and what it is measured on; no paragraph is in both."""

    train: str
    held_out: str


def load_text() -> Text:
    """Return Python's help; of twenty paragraphs in a row each tenth lot is held out.

    A paragraph that several topics share counts once. Versions of Python differ a little in it.
    """
    paragraphs: dict[str, None] = {}
    for name in sorted(topics):
        plain = re.sub(r"[^\n -~]", "", topics[name].translate(_PLAIN))
        paragraphs |= dict.fromkeys(part.strip("\n") for part in re.split(r"\n\s*\n", plain))
    lots: tuple[list[str], list[str]] = ([], [])
    for i, paragraph in enumerate(filter(None, paragraphs)):
        lots[i // _RUN % _EVERY == _EVERY - 1].append(paragraph)
    train, held_out = ("\n\n".join(lot) + "\n" for lot in lots)
    return Text(train=train, held_out=held_out)


def encode(text: str) -> NDArray[np.int64]:
    """Return the tokens of a text that has no character outside the vocabulary."""
    places = {character: i for i, character in enumerate(VOCABULARY)}
    return np.array([places[character] for character in text], np.int64)


def cut_windows(tokens: NDArray[np.int64], length: int, step: int) -> NDArray[np.int64]:
    """Return windows (N, length) of a text, each from the start of a line.

    Args:
        tokens: (n,) int64.
        length: of a window.
        step: how far the next window is at least.
    """
    starts = np.flatnonzero(tokens[:-1] == VOCABULARY.index("\n")) + 1
    chosen, free = [], 0
    for start in [0, *starts.tolist()]:
        if free <= start <= len(tokens) - length:
            chosen.append(start)
            free = start + step
    return np.stack([tokens[start : start + length] for start in chosen])


def count_pairs(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each token (column) follows each other (row) in a text (n,)."""
    table = np.zeros((len(VOCABULARY), len(VOCABULARY)), np.int64)
    np.add.at(table, (tokens[:-1], tokens[1:]), 1)
    return table
