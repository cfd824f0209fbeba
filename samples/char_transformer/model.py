"""A character-level transformer that reads and writes one character at a time."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Block", "CharTransformer"]

# Added to the scores of what is not there yet.
HIDDEN = -1e9


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a normalisation and added to what came in.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (the order);
    Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You Need", arXiv:1911.02150
    (all heads share their keys and values).
    """

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.sizes = [width, self.size, self.size]
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, sum(self.sizes))
        self.attention_out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        for last in (self.attention_out, self.down):
            nn.init.normal_(last.weight, std=0.5 / math.sqrt(last.in_features * depth))
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, T, D) after the block; each place looks at itself and those before it."""
        query, key, value = self.attention_in(self.attention_norm(x)).split(self.sizes, dim=2)
        query = query.unflatten(2, (self.heads, self.size)).transpose(1, 2)
        shape = (-1, self.heads, -1, -1)
        seen = functional.scaled_dot_product_attention(
            query,
            key[:, None].expand(shape),
            value[:, None].expand(shape),
            is_causal=True,
        )
        x = x + self.attention_out(seen.transpose(1, 2).flatten(2))
        return self._feed(x)

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return x (B, D) after the block, its key and its value, both (B, size, 1).

        Args:
            x: (B, D).
            keys: of the places before it, (B, size, T).
            values: likewise.
            hidden: 0 at what may be looked at, `HIDDEN` elsewhere, (B, 1, T + 1); x is the last.
        """
        joined = self.attention_in(self.attention_norm(x))[..., None]
        query, key, value = joined.split(self.sizes, dim=1)
        query = query.reshape(-1, self.heads, self.size)
        scores = query @ torch.cat([keys, key], dim=2) * self.size**-0.5 + hidden
        seen = scores.softmax(dim=2) @ torch.cat([values, value], dim=2).transpose(1, 2)
        x = x + self.attention_out(seen.flatten(1))
        return self._feed(x), key, value

    def _feed(self, x: Tensor) -> Tensor:
        forward: Tensor = self.down(functional.gelu(self.up(self.norm(x))))
        return x + forward


class CharTransformer(nn.Module):
    """Gives logits for the next character; `step` one at a time, `forward` for all at once.

    Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762; Press & Wolf 2017,
    "Using the Output Embedding to Improve Language Models", arXiv:1608.05859 (one table for both).

    Args:
        vocabulary: characters, the start included.
        length: that it can look back on.
        width: D.
        heads: of attention.
        depth: blocks.
    """

    masks: Tensor

    def __init__(
        self,
        vocabulary: int = 97,
        length: int = 256,
        width: int = 96,
        heads: int = 4,
        depth: int = 4,
    ) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.characters.weight, std=width**-0.5)
        nn.init.normal_(self.places.weight, std=width**-0.5)
        before = torch.arange(length)[None] < torch.arange(length)[:, None]
        masks = functional.pad(torch.where(before, 0.0, HIDDEN), (0, 1))
        self.register_buffer("masks", masks, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, T, V) of what follows each of tokens (B, T) int64."""
        places = self.places.weight[: tokens.shape[1]]
        x = self.characters(tokens) + places
        for block in self.blocks:
            x = block(x)
        return self._predict(x)

    def step(self, token: Tensor, position: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, V) of what follows a token, and what the cache takes at its position.

        Args:
            token: (B,) int64.
            position: its place, (B,) int64, from 0.
            cache: keys and values of each block, (B, 2 * depth * size, length); what is at
                `position` and behind it is not looked at.
        """
        x = self.characters(token) + self.places(position)
        hidden = self.masks[position][:, None]
        parts = cache.chunk(2 * len(self.blocks), dim=1)
        after = []
        for block, keys, values in zip(self.blocks, parts[::2], parts[1::2], strict=True):
            x, key, value = block.step(x, keys, values, hidden)
            after += [key, value]
        return self._predict(x), torch.cat(after, dim=1)

    def _predict(self, x: Tensor) -> Tensor:
        return functional.linear(self.norm(x), self.characters.weight)
