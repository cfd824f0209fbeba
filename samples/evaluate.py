"""Measure the trained samples through their bundles: `python -m samples.evaluate [MODEL ...]`.

Prints one table and exits with 1 if a figure misses its bar. With `--precision int8` the bundles
hold the quantised models alone. Each model's figures are in its own `figures.py`.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from samples.judging import Figure

__all__ = ["MODELS", "evaluate"]

# Each has `figures.py` with `measure(folder, precision) -> list[Figure]`.
MODELS = (
    "classifier",
    "gan",
    "dgan",
    "dcgan",
    "vae",
    "infogan",
    "deep_infogan",
    "crgan",
    "vae_gan",
    "pixelcnn",
    "char_transformer",
    "translator",
    "super_resolution",
    "diffusion",
    "stylegan_like",
)


def evaluate(folder: Path, precision: str = "fp32", models: Sequence[str] = MODELS) -> list[Figure]:
    """Measure samples.

    Args:
        folder: where the bundles are written.
        precision: of the bundles.
        models: names in `MODELS`.
    """
    figures: list[Figure] = []
    for model in models:
        figures += import_module(f"samples.{model}.figures").measure(folder, precision)
    return figures


def main() -> int:
    """Print the table, model by model; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"))
    args = parser.parse_args()
    unknown = sorted(set(args.models) - set(MODELS))
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}: there are {', '.join(MODELS)}")
    print(f"{'':52}{'value':>12}{'bar':>12}{'real':>12}", flush=True)
    passed = True
    with tempfile.TemporaryDirectory() as name:
        for model in args.models or MODELS:
            for figure in evaluate(Path(name), args.precision, [model]):
                print_figure(figure)
                passed = passed and figure.passed
    return 0 if passed else 1


def print_figure(figure: Figure) -> None:
    """Print one row of the table."""
    value, bar, real = (figure.write(v) for v in (figure.value, figure.bar, figure.real))
    verdict = "" if figure.passed else "  MISSED"
    print(f"{figure.name:52}{value:>12}{bar:>12}{real:>12}{verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
