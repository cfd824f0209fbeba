"""Text as tokens: the vocabulary is a list of strings, the longest that fits is taken first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.session import Array


def encode_text(text: str, vocabulary: Sequence[str]) -> list[int]:
    """Return the tokens of a text.

    Args:
        text: what to encode.
        vocabulary: the text of each token; empty ones stand for no text (a start, a stop).

    Raises:
        InputError: a character that no token holds.
    """
    places = {part: i for i, part in reversed(list(enumerate(vocabulary))) if part}
    longest = max(map(len, places), default=0)
    tokens: list[int] = []
    at = 0
    while at < len(text):
        found = next(
            (n for n in range(min(longest, len(text) - at), 0, -1) if text[at : at + n] in places),
            None,
        )
        if found is None:
            raise InputError(
                f"the prompt has {text[at]!r} at character {at + 1}, which is not in the model's "
                f"vocabulary of {len(places)}",
                fix="leave it out, or write it otherwise",
            )
        tokens.append(places[text[at : at + found]])
        at += found
    return tokens


def decode_text(tokens: Iterable[int], vocabulary: Sequence[str], stop: Sequence[int] = ()) -> str:
    """Return the text of tokens, up to the first that stops."""
    parts: list[str] = []
    for token in tokens:
        if token in stop:
            break
        parts.append(vocabulary[token])
    return "".join(parts)


def to_texts(output: Array, spec: OutputSpec, stop: Sequence[int] = ()) -> list[str]:
    """Return the text of each sample, up to the first token that stops.

    Args:
        output: (B, length) int64 tokens, 0 to the vocabulary's size - 1.
        spec: the contract.
        stop: tokens that end a sample.

    Raises:
        InputError: the contract is not text, or the array holds no tokens of its vocabulary.
    """
    if spec.kind != "text":
        raise InputError(
            f"the output of this bundle is {spec.noun}, not text",
            fix="write it as an array: genx sample BUNDLE -o NAME.npy",
        )
    if output.ndim != 2 or output.dtype.kind not in "iu":
        raise InputError(
            f"text has shape (B, length) of whole numbers, this output has {output.shape} "
            f"of {output.dtype}"
        )
    size = len(spec.vocabulary)
    if output.size and not (output.min() >= 0 and output.max() < size):
        raise InputError(
            f"this output has tokens {output.min()} to {output.max()}, the bundle's vocabulary "
            f"has {size}",
            fix="export it again with the text of each token, or write NAME.npy",
        )
    return [decode_text(tokens, spec.vocabulary, stop) for tokens in output.tolist()]


def join_texts(texts: Sequence[str], start: int = 0) -> str:
    """Return texts as one that ends in a line feed; several have a line above each that counts it.

    Args:
        texts: one or more.
        start: the number of the first one.
    """
    ended = [text if text.endswith("\n") else f"{text}\n" for text in texts]
    if len(ended) == 1:
        return ended[0]
    return "\n".join(f"===== sample {i} =====\n{text}" for i, text in enumerate(ended, start))
