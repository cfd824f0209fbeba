"""Axes: where a value lies, and which values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MANTISSAS = ((1,), (1, 3), (1, 2, 5))
_MIN_TICKS = 3
_MAX_TICKS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Maps values to places along an axis.

    Args:
        low: the value at its start; above 0 if `log`.
        high: the value at its end, above `low`.
        start: the place of `low`, in user units of the drawing.
        end: the place of `high`.
        log: whether equal ratios are equally far apart, and not equal differences.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        """Return where a value lies; one outside of the ends lies outside of the axis."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 3)

    def ticks(self) -> list[float]:
        """Return three to six round values within the ends."""
        if self.log:
            for mantissas in _MANTISSAS:
                found = self._decades(mantissas)
                if len(found) >= _MIN_TICKS:
                    return found[:: math.ceil(len(found) / _MAX_TICKS)]
        rough = (self.high - self.low) / (_MAX_TICKS - 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in _STEPS if s * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{i * step:.10g}") for i in range(first, last + 1)]

    def _decades(self, mantissas: tuple[int, ...]) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        values = (float(f"{m}e{power}") for power in range(first, last + 1) for m in mantissas)
        return [v for v in values if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9)]


def fit_scale(
    values: Iterable[float], *, start: float, end: float, log: bool, from_zero: bool = False
) -> Scale:
    """Return a scale that holds all values with some room beside them.

    Args:
        values: at least one; above 0 if `log`.
        start: the place of the low end.
        end: the place of the high end.
        log: logarithmic.
        from_zero: begin at 0; not with `log`.
    """
    found = list(values)
    low, high = min(found), max(found)
    if log:
        room = max((high / low) ** 0.06, 1.12)
        return Scale(low=low / room, high=high * room, start=start, end=end, log=True)
    if from_zero:
        return Scale(low=0.0, high=high * 1.08 or 1.0, start=start, end=end, log=False)
    room = max((high - low) * 0.08, abs(high) * 0.02, 1e-9)
    return Scale(low=low - room, high=high + room, start=start, end=end, log=False)
