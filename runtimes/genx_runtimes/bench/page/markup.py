"""HTML and SVG that are escaped where they are made: names in a report come from strangers."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is markup already; any other text is escaped where it is put in."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: what it holds; text that is not `Markup` is escaped.
        attributes: `class_` and `aria_label` become `class` and `aria-label`; None and False are
            left out, True has no value. A float is written so that it reads back the same.
    """
    given = {n: v for n, v in attributes.items() if v is not None and v is not False}  # 0 stays
    words = [tag, *(_attribute(name, value) for name, value in given.items())]
    opening = f"<{' '.join(words)}>"
    return Markup(opening if tag in _VOID else f"{opening}{join(children)}</{tag}>")


def join(parts: Iterable[str]) -> Markup:
    """Return parts one after another, escaped where they are not markup yet."""
    return Markup("".join(p if isinstance(p, Markup) else escape(p, quote=False) for p in parts))


def _attribute(name: str, value: str | float | bool | None) -> str:
    written = name.rstrip("_").replace("_", "-")
    return written if value is True else f'{written}="{escape(str(value))}"'
