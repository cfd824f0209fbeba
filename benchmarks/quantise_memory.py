"""How much memory quantising takes: at most three times the fp32 model and 1 GB.

    python benchmarks/quantise_memory.py

A generator of 50 million weights, 200 MB, is exported and quantised by the command line, each in a
process of its own. Takes about three minutes. Exit code 1 if the bar is missed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn

TIMES, MORE_BYTES = 3, 1e9
FLAGS = ("--prior", "z=normal:128", "--output", "image:-1..1")


class Large(nn.Module):
    """z (B, 128) -> image (B, 3, 64, 64), like a wide DCGAN with random weights."""

    def __init__(self, widths: tuple[int, ...] = (1024, 1536, 768, 256, 64)) -> None:
        super().__init__()
        self.width = widths[0]
        self.project = nn.Linear(128, 16 * widths[0])
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, 1, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.layers(self.project(z).view(-1, self.width, 4, 4))
        return image


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "large.genx"
        run("export", f"{__file__}:Large", "-o", bundle, *FLAGS)
        graph = bundle / "graphs" / "fp32" / "generator.onnx"
        size = graph.stat().st_size
        said = run("quantize", bundle, "-o", Path(folder) / "quantised.genx")
    found = re.search(r"peak memory ([\d.]+) GB", said)
    assert found, said
    peak, bar = float(found[1]), (TIMES * size + MORE_BYTES) / 1e9
    print(said)
    print(f"fp32 model {size / 1e6:.0f} MB, peak {peak:.2f} GB  (bar: at most {bar:.2f})")
    print("bar met" if peak <= bar else "MISSED")
    return 0 if peak <= bar else 1


def run(*args: str | Path) -> str:
    done = subprocess.run(
        (sys.executable, "-m", "genx_cli", *map(str, args)),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
