"""Drawing one of many from logits, outside the graph: tokens of a text, values of a pixel.

Source: docs/bundle.md, "Drawing"; Fan et al., "Hierarchical neural story generation",
arXiv:1805.04833 (top k); Holtzman et al., "The curious case of neural text degeneration",
arXiv:1904.09751 (top p).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.session import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How one of many is drawn.

    Args:
        temperature: logits are divided by it; 0 takes the likeliest.
        top_k: only the so many likeliest; None takes all.
        top_p: only the likeliest whose probabilities first add up to this; None takes all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def draw(self, logits: Array, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the choice of each row.

        Args:
            logits: (B, V).
            uniforms: (B,) in [0, 1), one for each row.

        Raises:
            BackendError: a row has no finite maximum.
        """
        scores = logits.astype(np.float64)
        highest = scores.max(axis=1, keepdims=True)
        if not np.isfinite(highest).all():
            raise BackendError(
                "the logits hold NaN or infinity: this engine or precision breaks the model",
                fix="genx verify shows where it starts",
            )
        if self.temperature == 0:
            return np.asarray(scores.argmax(axis=1), dtype=np.int64)
        scores -= highest
        scores /= self.temperature
        odds = np.exp(scores, out=scores)
        if self.top_k is not None or (self.top_p is not None and self.top_p < 1):
            odds = self._cut(odds)
        reached = odds.cumsum(axis=1)
        beyond = reached > uniforms[:, None] * reached[:, -1:]
        return np.asarray(beyond.argmax(axis=1), dtype=np.int64)

    def _cut(self, odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the odds with zeros where nothing may be drawn; ties go to the first."""
        order = np.argsort(-odds, axis=1, kind="stable")
        ranked = np.take_along_axis(odds, order, axis=1)
        if self.top_k is not None:
            ranked[:, self.top_k :] = 0
        if self.top_p is not None and self.top_p < 1:
            before = ranked.cumsum(axis=1) - ranked
            ranked[before >= self.top_p * ranked.sum(axis=1, keepdims=True)] = 0
        kept = np.zeros_like(odds)
        np.put_along_axis(kept, order, ranked, axis=1)
        return kept


def settle_decision(options: SamplingOptions, temperature: float) -> Decision:
    """Return how to draw under a caller's options.

    Raises:
        InputError: a value is out of range.
    """
    wanted = temperature if options.temperature is None else options.temperature
    if not (math.isfinite(wanted) and wanted >= 0):
        raise InputError(f"temperature is {wanted}, expected 0 or more")
    if options.top_k is not None and options.top_k < 1:
        raise InputError(f"top-k is {options.top_k}, expected 1 or more")
    if options.top_p is not None and not 0 < options.top_p <= 1:
        raise InputError(f"top-p is {options.top_p}, expected more than 0, up to 1")
    return Decision(temperature=wanted, top_k=options.top_k, top_p=options.top_p)
