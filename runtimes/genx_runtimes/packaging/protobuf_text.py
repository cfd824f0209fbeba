"""Protocol buffers' text format, as far as a model's configuration needs it.

Source: protobuf.dev, "Text Format Language Specification".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """The name of an enumeration's value."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """Fields in order; one that is repeated stands there once for each of its messages."""

    fields: tuple[tuple[str, Field], ...]


# A tuple is a repeated number.
Field = str | int | Word | tuple[int, ...] | Message


def write_text(message: Message) -> str:
    """Return a message as text, a field a line."""
    return "".join(f"{line}\n" for line in _list_lines(message))


def _list_lines(message: Message) -> Iterator[str]:
    for name, value in message.fields:
        if isinstance(value, Message):
            yield f"{name} {{"
            yield from (f"  {line}" for line in _list_lines(value))
            yield "}"
        else:
            yield f"{name}: {_write_scalar(value)}"


def _write_scalar(value: str | int | Word | tuple[int, ...]) -> str:
    if isinstance(value, Word):
        return value.text
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return _quote(value) if isinstance(value, str) else str(value)


def _quote(text: str) -> str:
    r"""Return a string literal; what is not printable ASCII, `"` and `\` as octal escapes."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(plain)}"'
