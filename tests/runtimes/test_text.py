"""Text to tokens and back."""

from __future__ import annotations

import pytest

from genx_runtimes.errors import InputError
from genx_runtimes.text import decode_text, encode_text

LETTERS = ("", "\n", *map(chr, range(32, 127)))


def test_characters_are_their_places() -> None:
    text = "def f(x):\n    return x\n"
    tokens = encode_text(text, LETTERS)
    assert tokens == [LETTERS.index(character) for character in text]
    assert decode_text(tokens, LETTERS) == text
    assert encode_text("", LETTERS) == []


def test_the_longest_that_fits_is_taken_first() -> None:
    vocabulary = ("", "a", "b", "ab", "abc", "c", "abcd")
    assert encode_text("abcab", vocabulary) == [4, 3]
    assert encode_text("aabcdb", vocabulary) == [1, 6, 2]
    # Greedy: "a" and "bc" would do, but "ab" is longer, and nothing holds the "c" that it leaves.
    with pytest.raises(InputError, match=r"'c' at character 3"):
        encode_text("abc", ("", "a", "ab", "bc"))


def test_of_equal_texts_the_first_is_taken() -> None:
    assert encode_text("aa", ("", "a", "a")) == [1, 1]


def test_a_character_outside_the_vocabulary_is_named_with_its_place() -> None:
    with pytest.raises(InputError, match=r"'é' at character 4, .* vocabulary of 96"):
        encode_text("café", LETTERS)


def test_text_ends_before_the_first_stop() -> None:
    vocabulary = ("", "a", "b", "<end>")
    assert decode_text([1, 2, 3, 3, 1], vocabulary, stop=(3,)) == "ab"
    assert decode_text([1, 2, 3], vocabulary) == "ab<end>"
    assert decode_text([0, 0], vocabulary) == ""
