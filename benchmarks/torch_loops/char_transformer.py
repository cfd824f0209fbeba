"""Text from the char_transformer, with a KV cache that is written to in place.

Attention looks at what is in the cache, not at what may still come.
"""

from __future__ import annotations

import torch
from samples.char_transformer.model import CharTransformer
from samples.char_transformer.text import START
from torch.nn import functional

from torch_loops.loop import Draw, load, serve_loop


def make(batch: int) -> Draw:
    """Return what draws `batch` texts, as long as the model can look back."""
    model = load(CharTransformer(), "char_transformer")
    assert isinstance(model, CharTransformer)
    length = model.places.num_embeddings
    shape = (len(model.blocks), batch, 1, length, model.blocks[0].size)
    keys, values = torch.zeros(shape), torch.zeros(shape)
    attend = functional.scaled_dot_product_attention

    def draw() -> object:
        token, tokens = torch.full((batch,), START), []
        for place in range(length):
            x = model.characters(token) + model.places.weight[place]
            for layer, key_cache, value_cache in zip(model.blocks, keys, values, strict=True):
                joined = layer.attention_in(layer.attention_norm(x))
                query, key, value = joined.split(layer.sizes, dim=1)
                key_cache[:, 0, place] = key
                value_cache[:, 0, place] = value
                # All heads share one key: as many queries of a single head.
                query = query.view(batch, 1, layer.heads, layer.size)
                seen = attend(query, key_cache[:, :, : place + 1], value_cache[:, :, : place + 1])
                x = x + layer.attention_out(seen.reshape(batch, -1))
                x = x + layer.down(functional.gelu(layer.up(layer.norm(x))))
            logits = functional.linear(model.norm(x), model.characters.weight)
            token = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
            tokens.append(token)
        return torch.stack(tokens, dim=1)

    return draw


if __name__ == "__main__":
    serve_loop(make)
