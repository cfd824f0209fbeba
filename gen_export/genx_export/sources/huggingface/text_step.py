"""One step of a transformers text model, with its keys and values as an explicit state.

The library's own layers run, with a cache and an attention of ours: keys and values of what was
seen come in whole, those of the new token go out alone, and nothing is copied to join them.

Source: Pope et al., "Efficiently scaling transformer inference", arXiv:2211.05102, section 3.3;
Ainslie et al., "GQA", arXiv:2305.13245 (several queries to a key).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ATTENTION = "genx_step"

Pair = tuple[Tensor, Tensor]


class StepCache:
    """What the library's layers take for their cache during one step.

    Args:
        cache: (B, layers, 2, heads, length, head_dim): keys and values of what was seen.
    """

    def __init__(self, cache: Tensor) -> None:
        self._cache = cache
        self._new: list[Tensor] = []

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Pair, Pair]:
        """Return (seen, new) keys and (seen, new) values, for `attend_step`."""
        self._new.append(torch.stack((keys, values), 1))
        return (self._cache[:, layer, 0], keys), (self._cache[:, layer, 1], values)

    def collect(self) -> Tensor:
        """Return the new keys and values, (B, layers, 2, heads, 1, head_dim)."""
        return torch.stack(self._new, 1)


def attend_step(
    module: nn.Module,
    query: Tensor,
    key: Pair,
    value: Pair,
    attention_mask: Tensor,
    *,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend from one token to those that were seen and to itself.

    Args:
        module: the library's attention layer.
        query: (B, queries, 1, head_dim).
        key: (B, heads, length, head_dim) of what was seen, (B, heads, 1, head_dim) of the token.
        value: likewise.
        attention_mask: (B, 1, 1, length): 0 where there is something, else the lowest number.
        scaling: of the scores.

    Returns:
        (B, 1, queries, head_dim), and no weights.
    """
    del module
    batch, queries, _one, size = query.shape
    heads = key[1].shape[1]
    grouped = (query * scaling).reshape(batch, heads, queries // heads, size)
    before = grouped @ key[0].transpose(2, 3) + attention_mask
    itself = grouped @ key[1].transpose(2, 3)
    weights = torch.cat((before, itself), 3).softmax(3)
    out = weights[..., :-1] @ value[0] + weights[..., -1:] @ value[1]
    return out.reshape(batch, 1, queries, size), None


class TextStep(nn.Module):
    """A causal language model of transformers, loaded with `ATTENTION`, as a step.

    Args:
        model: the model.
        length: tokens that the cache holds.
    """

    def __init__(self, model: Any, length: int) -> None:
        super().__init__()
        self.model = model
        self.length = length

    def forward(self, token: Tensor, position: Tensor, cache: Tensor) -> Pair:
        """Return the next token's logits and the new keys and values.

        Args:
            token: (B,) int64.
            position: (B,) int64, from 0.
            cache: (B, layers, 2, heads, length, head_dim), zeros from `position` on.
        """
        seen = torch.arange(self.length) < position[:, None]
        lowest = torch.finfo(cache.dtype).min
        mask = torch.where(seen, 0.0, lowest)[:, None, None, :]
        states = StepCache(cache)
        logits = self.model(
            input_ids=token[:, None],
            position_ids=position[:, None],
            attention_mask=mask,
            past_key_values=states,
            use_cache=True,
        ).logits
        return logits[:, 0], states.collect()
