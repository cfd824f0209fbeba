"""The text of each token of a tokenizer.

| tokenizer | a token's text |
|---|---|
| byte-level BPE (GPT-2, Llama 3, Qwen) | the bytes that its printable aliases stand for, as UTF-8 |
| SentencePiece as BPE or unigram (Llama 2, Mistral) | `▁` is a space, `<0x0A>` a byte |
| others | as it is written |

Special tokens have no text. A token of bytes that are not UTF-8 by themselves (a part of a longer
character) is U+FFFD for each such part: it can be sampled, but not written in a prompt.

Source: Radford et al., 2019, section 2.2 (bytes); Kudo & Richardson, "SentencePiece",
arXiv:1808.06226.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from genx_export.sources.huggingface.folder import read_json
from genx_export.sources.huggingface.settings import Settings
from genx_runtimes.errors import SourceError

TOKENIZER = "tokenizer.json"
_WORDS = "vocab.json"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def read_vocabulary(folder: Path, size: int) -> tuple[tuple[str, ...], list[str]]:
    """Return the text of each token, and warnings.

    Args:
        folder: with tokenizer.json, or the vocab.json of GPT-2.
        size: tokens that the model knows; those beyond the tokenizer's have no text.

    Returns:
        `size` texts; none where the folder has no tokenizer.

    Raises:
        SourceError: malformed, or of a tokenizer that knows more tokens than the model.
    """
    if (folder / TOKENIZER).is_file():
        path = folder / TOKENIZER
        texts = _read_tokenizer(path)
    elif (folder / _WORDS).is_file():
        path = folder / _WORDS
        texts = _decode_all(path, read_json(path).items(), _decode_bytes)
    else:
        return (), [
            f"{folder} has no {TOKENIZER}: samples are the numbers of tokens, and no prompt can be "
            f"given; put the tokenizer's save_pretrained beside the model's"
        ]
    beyond = [i for i in texts if not 0 <= i < size]
    if beyond:
        raise SourceError(
            f"{path} has token {beyond[0]}, the model knows 0 to {size - 1}",
            fix="take the tokenizer that belongs to this model",
        )
    return tuple(texts.get(i, "") for i in range(size)), []


def _read_tokenizer(path: Path) -> dict[int, str]:
    tokenizer = read_json(path)
    words = Settings(path, Settings(path, tokenizer).members("model")).get("vocab")
    added = tokenizer.get("added_tokens") or []
    if isinstance(words, list):  # unigram: [text, score] each
        pairs: Iterable[tuple[object, object]] = [
            (entry[0] if isinstance(entry, list) and entry else entry, i)
            for i, entry in enumerate(words)
        ]
    elif isinstance(words, Mapping):
        pairs = words.items()
    else:
        raise SourceError(f"{path} has no model.vocab", fix="save the tokenizer again")
    texts = _decode_all(path, pairs, _choose_decoder(tokenizer))
    try:
        for token in added:
            texts[int(token["id"])] = "" if token.get("special") else str(token["content"])
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise SourceError(f"{path}: added_tokens: {err!r}", fix="save the tokenizer again") from err
    return texts


def _decode_all(
    path: Path, pairs: Iterable[tuple[object, object]], decode: Callable[[str], str]
) -> dict[int, str]:
    texts: dict[int, str] = {}
    for text, token in pairs:
        if not isinstance(text, str) or isinstance(token, bool) or not isinstance(token, int):
            raise SourceError(
                f"{path}: the vocabulary has {text!r} as token {token!r}, expected a text and a "
                f"whole number",
                fix="save the tokenizer again",
            )
        texts[token] = decode(text)
    return texts


def _choose_decoder(tokenizer: Mapping[str, Any]) -> Callable[[str], str]:
    """Return how the tokens of a tokenizer.json are written."""
    said = json.dumps([tokenizer.get("decoder"), tokenizer.get("pre_tokenizer")])
    if '"ByteLevel"' in said:
        return _decode_bytes
    metaspace = json.dumps("▁") in said or '"Metaspace"' in said or '"ByteFallback"' in said
    return _decode_piece if metaspace else str


def _list_aliases() -> dict[str, int]:
    """Return {printable alias: byte} of byte-level BPE.

    Bytes that print stand for themselves, the others for the characters from U+0100 on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


_ALIASES = _list_aliases()


def _decode_bytes(token: str) -> str:
    if any(character not in _ALIASES for character in token):
        return token  # added behind the tokenizer's back: as it is written
    return bytes(_ALIASES[character] for character in token).decode("utf-8", "replace")


def _decode_piece(token: str) -> str:
    byte = _BYTE.fullmatch(token)
    if byte:
        return bytes([int(byte[1], 16)]).decode("utf-8", "replace")
    return token.replace("▁", " ")
