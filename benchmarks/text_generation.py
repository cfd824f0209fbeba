"""A hundred characters from `samples/char_transformer`, one sample at a time: genx and PyTorch.

    python benchmarks/text_generation.py char_transformer.genx [--precision int8-weights]

PyTorch runs eagerly, with a preallocated KV cache, under inference_mode and on as many threads;
attention looks at what is in the cache, not at what may still come. Each contender runs in a
process of its own, turn and turn about; the figure is the best of a process's rounds, the median
over processes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LENGTH = 100
ROUNDS = 15
TURNS = 3
THREADS = 2

# Makes one sample of LENGTH tokens; the argument is its index.
Generate = Callable[[int], object]


def build_genx(bundle: str, precision: str | None, threads: int) -> Generate:
    """Return genx's loop, in onnxruntime."""
    from genx_runtimes import open_bundle
    from genx_runtimes.samplers.loop import SamplingOptions
    from genx_runtimes.session import SessionOptions

    sampler = open_bundle(bundle).sampler(
        precision=precision, options=SessionOptions(threads=threads), batch=1
    )
    options = SamplingOptions(length=LENGTH)
    return lambda index: next(sampler.sample(1, start=index, batch=1, options=options)).output


def build_torch(threads: int) -> Generate:
    """Return the same loop in PyTorch with a KV cache."""
    import torch
    from safetensors.torch import load_file
    from samples.char_transformer.model import CharTransformer
    from samples.char_transformer.text import START
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    folder = Path(__file__).parents[1] / "samples" / "char_transformer"
    model = CharTransformer()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    model.eval()
    depth, block = len(model.blocks), model.blocks[0]
    shape = (depth, 1, 1, model.places.num_embeddings, block.size)
    keys, values = torch.zeros(shape), torch.zeros(shape)
    attend = functional.scaled_dot_product_attention

    @torch.inference_mode()
    def generate(index: int) -> object:
        torch.manual_seed(index)
        token, tokens = torch.tensor([START]), []
        for place in range(LENGTH):
            x = model.characters(token) + model.places.weight[place]
            for layer, key_cache, value_cache in zip(model.blocks, keys, values, strict=True):
                joined = layer.attention_in(layer.attention_norm(x))
                query, key, value = joined.split(layer.sizes, dim=1)
                key_cache[:, 0, place] = key
                value_cache[:, 0, place] = value
                # All heads share one key: as many queries of a single head.
                query = query.view(1, 1, layer.heads, layer.size)
                seen = attend(
                    query, key_cache[:, :, : place + 1], value_cache[:, :, : place + 1], scale=1.0
                )
                x = x + layer.attention_out(seen.view(1, -1))
                x = x + layer.down(functional.gelu(layer.up(layer.norm(x))))
            logits = functional.linear(model.norm(x), model.characters.weight)
            token = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
            tokens.append(token)
        return torch.cat(tokens)

    return generate


def measure(generate: Generate) -> float:
    """Return the time of a token in us: of all rounds the best."""
    times = []
    for index in range(ROUNDS):
        begun = time.perf_counter()
        generate(index)
        times.append(time.perf_counter() - begun)
    return min(times) / LENGTH * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--only", choices=("genx", "torch"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        builders = {
            "genx": lambda: build_genx(args.bundle, args.precision, args.threads),
            "torch": lambda: build_torch(args.threads),
        }
        print(measure(builders[args.only]()))
        return
    found: dict[str, list[float]] = {"genx": [], "torch": []}
    for _ in range(TURNS):
        for name, times in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
            times.append(float(subprocess.run(command, check=True, stdout=-1, text=True).stdout))
    genx, torch = (statistics.median(times) for times in found.values())
    print(f"genx    {genx:6.0f} us a token    {found['genx']}")
    print(f"PyTorch {torch:6.0f} us a token    {found['torch']}")
    print(f"genx is {torch / genx:.1f} x as fast at batch 1 on {args.threads} threads")


if __name__ == "__main__":
    main()
