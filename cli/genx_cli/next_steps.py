"""The commands that are suggested at a command's end; each of them runs as it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genx_runtimes.manifest import BatchBounds, Manifest, OutputKind, OutputSpec

# By the output's kind: how many samples, and where to.
_TRIALS: dict[OutputKind, tuple[int, str]] = {
    "image": (64, "grid.png"),
    "audio": (8, "samples.wav"),
    "sequence": (64, "samples.csv"),
    "table": (64, "samples.csv"),
    "text": (1, "-"),
    "voxels": (64, "samples.npy"),
    "tensor": (64, "samples.npy"),
}
_BALANCED = 16  # texts, where each class is to be seen
_PROMPT = "The "


def suggest_sampling(bundle: Path, manifest: Manifest, *, setting: str = "") -> str:
    """Return the command that draws what shows a model best.

    For a bundle that translates pictures: the command that does, on a folder of the user's.

    Args:
        bundle: where it lies.
        manifest: what it says of itself.
        setting: for `--set`, may be empty.
    """
    from genx_runtimes.sampling_specs import TokensSpec

    if manifest.sampler.kind == "translate":
        return f"genx translate {quote(bundle)} pictures/ -o translated/"
    wanted, path = _TRIALS[manifest.output.kind]
    if setting:
        wanted = max(wanted, _BALANCED)
        path = f"balanced{Path(path).suffix or '.txt'}"
    words = ["genx", "sample", str(bundle), "-n", str(_fit(wanted, manifest.batch))]
    if setting:
        words += ["--set", setting]
    if isinstance(manifest.sampler, TokensSpec) and manifest.output.kind == "text":
        prompt = _choose_prompt(manifest.output, manifest.sampler.stop)
        words += ["--prompt", prompt] if prompt else []
    return shlex.join([*words, "-o", path])


def choose_batch(manifest: Manifest) -> int:
    """Return the samples a pass where the user names no number."""
    return manifest.batch.usual


def quote(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def _fit(wanted: int, bounds: BatchBounds) -> int:
    """Return a number of samples near what is wanted that the bundle's batches can make up."""
    size = bounds.usual
    if wanted <= size:
        return max(wanted, bounds.min)
    rest = wanted % size
    return wanted if not rest or rest >= bounds.min else wanted - rest


def _choose_prompt(output: OutputSpec, stop: tuple[int, ...]) -> str:
    """Return a beginning that the vocabulary can write; empty where there is none."""
    from genx_runtimes.errors import InputError
    from genx_runtimes.text import encode_text

    try:
        encode_text(_PROMPT, output.vocabulary)
    except InputError:
        letters = (t for i, t in enumerate(output.vocabulary) if t.isalpha() and i not in stop)
        return next(letters, "")
    return _PROMPT
