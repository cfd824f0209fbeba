"""Figures as text: columns whose digits stand below one another, short ones for axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

UNKNOWN = "–"
_PREFIXES = ("", "k", "M", "G", "T", "P")


def count_decimals(values: Iterable[float | None], *, digits: int = 3, most: int = 4) -> int:
    """Return the decimals with which the least of some numbers has `digits`, at most `most`."""
    least = min((abs(v) for v in values if v), default=1.0)
    return min(max(digits - 1 - math.floor(math.log10(least)), 0), most)


def align(values: Sequence[float | None], decimals: int | None = None) -> list[str]:
    """Return a column of numbers, all with the same count of decimals; None is unknown."""
    places = count_decimals(values) if decimals is None else decimals
    return [UNKNOWN if value is None else f"{value:,.{places}f}" for value in values]


def pick(records: Iterable[object], field: str) -> list[float | None]:
    """Return a figure of each record; None where there is no record, or no figure."""
    return [None if record is None else getattr(record, field) for record in records]


def shorten(value: float) -> str:
    """Return a number as on an axis: 0.05, 20, 1.5k, 3G."""
    size, prefix = _split(value, 1000.0)
    return f"{size:.4g}{prefix}"


def scale_si(value: float, unit: str) -> str:
    """Return three digits with a prefix and the unit: 41.3 GMAC/s."""
    size, prefix = _split(value, 999.5)  # 999.7 is 1 k in three digits
    return f"{size:.3g} {prefix}{unit}"


def percent(part: float | None) -> str:
    """Return a share as a percentage with one decimal."""
    return UNKNOWN if part is None else f"{part * 100:.1f} %"


def megabytes(sizes: Sequence[float | None]) -> list[str]:
    """Return a column of bytes in MB."""
    return align([None if size is None else size / 1e6 for size in sizes], 1)


def _split(value: float, limit: float) -> tuple[float, str]:
    step = 0
    while abs(value) >= limit and step < len(_PREFIXES) - 1:
        value /= 1000
        step += 1
    return value, _PREFIXES[step]
