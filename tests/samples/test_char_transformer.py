"""The character-level transformer: its steps, its text, and what its figures are measured with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from samples.char_transformer.figures import measure_counts
from samples.char_transformer.model import CharTransformer
from samples.char_transformer.text import (
    START,
    VOCABULARY,
    Text,
    cut_windows,
    encode,
    load_text,
)

from genx_runtimes.text import decode_text, encode_text

FOLDER = Path(__file__).parents[2] / "samples" / "char_transformer"


def test_steps_are_the_whole_forward() -> None:
    torch.manual_seed(0)
    model = CharTransformer(length=12, width=16, depth=2)
    tokens = torch.randint(len(VOCABULARY), (3, 12))
    with torch.inference_mode():
        whole = model(tokens)
        cache = torch.zeros(3, 2 * 2 * 4, 12)
        for place in range(12):
            logits, new = model.step(tokens[:, place], torch.full((3,), place), cache)
            cache[:, :, place : place + 1] = new
            torch.testing.assert_close(logits, whole[:, place], atol=1e-5, rtol=1e-5)


def test_the_recipe_has_the_vocabulary_that_was_learnt() -> None:
    assert tuple(json.loads((FOLDER / "vocabulary.json").read_text())) == VOCABULARY
    assert VOCABULARY[START] == ""
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_no_paragraph_is_learnt_and_measured() -> None:
    text = load_text()
    assert 0.08 < len(text.held_out) / len(text.train) < 0.2
    lots = [set(part.split("\n\n")) for part in (text.train, text.held_out)]
    assert not lots[0] & lots[1]
    for part in (text.train, text.held_out):
        tokens = encode(part[:5000])
        assert decode_text(tokens.tolist(), VOCABULARY) == part[:5000]
        assert encode_text(part[:5000], VOCABULARY) == tokens.tolist()
        assert START not in tokens


def test_windows_begin_lines() -> None:
    tokens = encode("one\ntwo\n\nthree\nfour\n")
    texts = [decode_text(row.tolist(), VOCABULARY) for row in cut_windows(tokens, 4, 1)]
    assert texts == ["one\n", "two\n", "\nthr", "thre", "four"]
    apart = [decode_text(row.tolist(), VOCABULARY) for row in cut_windows(tokens, 4, 5)]
    assert apart == ["one\n", "\nthr", "four"]


def test_the_counted_models_bits() -> None:
    # After each letter comes the other: a bigram model is almost sure, a unigram model is not.
    text = Text(train="ab" * 100_000 + "\n", held_out="")
    windows = np.tile(encode("ab"), (1, 50))
    unigram, bigram = measure_counts(text, windows)
    assert unigram == pytest.approx(1.0, abs=0.1)
    assert bigram < 0.2
