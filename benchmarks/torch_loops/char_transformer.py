"""Text from the char_transformer, with a KV cache that is written to in place."""

from __future__ import annotations

import torch
from samples.char_transformer.model import CharTransformer

from torch_loops.loop import Draw, load, serve_loop

LENGTH = 256


def make(batch: int) -> Draw:
    """Return what draws `batch` texts of `LENGTH` characters."""
    model = load(CharTransformer(), "char_transformer")
    size = 2 * sum(block.size for block in model.blocks)

    def draw() -> object:
        cache = torch.zeros(batch, size, LENGTH)
        token = torch.zeros(batch, dtype=torch.int64)
        tokens = []
        for place in range(LENGTH):
            position = torch.full((batch,), place)
            logits, cache[:, :, place : place + 1] = model.step(token, position, cache)
            token = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
            tokens.append(token)
        return torch.stack(tokens, dim=1)

    return draw


if __name__ == "__main__":
    serve_loop(make)
