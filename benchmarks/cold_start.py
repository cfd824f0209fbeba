"""From process start to one sample: genx, bare onnxruntime, and PyTorch.

    python benchmarks/cold_start.py

Each contender is a whole process, timed from outside; they take turns, and medians are compared.
genx opens the bundle (hashes checked), draws the latents, samples and writes a PNG. Bare
onnxruntime imports numpy and onnxruntime, loads the same graph and runs it once. PyTorch builds the
model, loads its weights, samples and writes a PNG. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from genx_runtimes.bundle import open_bundle

MODEL = Path(__file__).parent.parent / "samples" / "dcgan"
MAX_OVER_BARE = 1.6
MIN_UNDER_TORCH = 5.0

BARE = """
import sys
import numpy as np
import onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
z = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
session.run(None, {"z": z, "label": np.zeros(1, np.int64)})
"""

TORCH = """
import sys
import torch
from PIL import Image
from safetensors.torch import load_file
sys.path.insert(0, sys.argv[1])
from model import Generator
model = Generator().eval()
model.load_state_dict(load_file(sys.argv[1] + "/weights.safetensors"))
generator = torch.Generator().manual_seed(0)
with torch.inference_mode():
    image = model(torch.randn(1, 64, generator=generator), torch.zeros(1, dtype=torch.int64))
pixels = ((image[0, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
Image.fromarray(pixels.numpy()).save(sys.argv[2])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="timed runs of each contender")
    runs = parser.parse_args().runs
    genx = str(Path(sys.executable).with_name("genx"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "dcgan.genx"
        subprocess.run([genx, "export", str(MODEL), "-o", str(bundle), "-q"], check=True)
        manifest = open_bundle(bundle).manifest
        graph = bundle / manifest.variants[0].graphs[manifest.sampler.component].path
        png = str(folder / "sample.png")
        sample = [genx, "sample", str(bundle), "-n", "1", "--seed", "0", "-o", png, "--force"]
        commands = {
            "genx sample": sample,
            "bare onnxruntime": [sys.executable, "-c", BARE, str(graph)],
            "PyTorch": [sys.executable, "-c", TORCH, str(MODEL), str(folder / "torch.png")],
        }
        medians = time_in_turn(commands, runs)
    print(f"process start to one sample, median of {runs}, in turn")
    for contender, seconds in medians.items():
        print(f"  {contender:<18}{seconds * 1e3:8.0f} ms")
    over = medians["genx sample"] / medians["bare onnxruntime"]
    under = medians["PyTorch"] / medians["genx sample"]
    met = over <= MAX_OVER_BARE and under >= MIN_UNDER_TORCH
    print(f"  genx / bare onnxruntime  {over:5.2f}  (bar: at most {MAX_OVER_BARE})")
    print(f"  PyTorch / genx           {under:5.2f}  (bar: at least {MIN_UNDER_TORCH})")
    print("bars met" if met else "a bar is missed")
    return 0 if met else 1


def time_in_turn(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    """Run each command once to warm the page cache, then `runs` times in turn; medians in s."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    sys.exit(main())
