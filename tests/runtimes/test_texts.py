from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genx_runtimes import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.text import join_texts, to_texts

TEXT = OutputSpec(name="x", kind="text", vocabulary=("", "a", "b", "ö", "."))


def test_texts_end_at_the_first_token_that_stops() -> None:
    tokens = np.array([[1, 3, 4, 2], [2, 2, 2, 2], [4, 1, 1, 1]])
    assert to_texts(tokens, TEXT, (4,)) == ["aö", "bbbb", ""]
    assert to_texts(tokens, TEXT)[0] == "aö.b"
    assert to_texts(tokens[:, :0], TEXT) == ["", "", ""]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.array([[0, 5]]), "this output has tokens 0 to 5, the bundle's vocabulary has 5"),
        (np.array([[-1, 0]]), "this output has tokens -1 to 0"),
        (np.array([[1.0]]), r"text has shape \(B, length\) of whole numbers, .* \(1, 1\) of float"),
        (np.array([1]), r"text has shape \(B, length\)"),
    ],
)
def test_what_is_no_text(tokens: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_texts(tokens, TEXT)
    with pytest.raises(InputError, match="is an image, not text"):
        to_texts(tokens, OutputSpec(name="x", kind="image"))


def test_several_texts_are_told_apart() -> None:
    assert join_texts(["one"]) == "one\n"
    assert join_texts(["one\n"], 4) == "one\n"
    assert join_texts(["one", ""], 4) == "===== sample 4 =====\none\n\n===== sample 5 =====\n\n"


def test_a_bundle_writes() -> None:
    bundle = open_bundle(Path(__file__).parents[1] / "data" / "tiny_tokens.genx")
    with bundle.sampler() as sampler:
        batch = next(sampler.sample(8, options=SamplingOptions(prompt="a the")))
        longer = next(sampler.sample(8, options=SamplingOptions(prompt="a the", length=9)))
    texts = batch.texts()
    assert all(text.startswith("a the") for text in texts)
    ended = batch.output == 0
    assert ended.any()
    for text, tokens in zip(texts, batch.output.tolist(), strict=True):
        words = tokens[: tokens.index(0)] if 0 in tokens else tokens
        assert text == "".join(sampler.manifest.output.vocabulary[word] for word in words)
    assert longer.texts() == texts, "9 more tokens are all that there is room for"
    with pytest.raises(InputError, match="is text, not an image"):
        batch.images()
