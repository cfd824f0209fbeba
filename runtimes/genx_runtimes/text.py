"""Text as tokens: the vocabulary is a list of strings, the longest that fits is taken first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genx_runtimes.errors import InputError


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
