"""The commands that are suggested at a command's end; each of them runs as it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def suggest_sampling(bundle: Path, manifest: Manifest, *, settings: Sequence[str] = ()) -> str:
    """Return the command that draws what shows a model best.

    For a bundle that translates pictures: the command that does, on a folder of the user's.

    Args:
        bundle: where it lies.
        manifest: what it says of itself.
        settings: for `--set`, one each.
    """
    from genx_runtimes.sampling_specs import TokensSpec

    if manifest.sampler.kind == "translate":
        return f"genx translate {quote(bundle)} pictures/ -o translated/"
    wanted, path = _TRIALS[manifest.output.kind]
    if settings:
        wanted = max(wanted, _BALANCED)
        stem = "balanced" if any(s.endswith("=balanced") for s in settings) else "fixed"
        path = f"{stem}{Path(path).suffix or '.txt'}"
    words = ["genx", "sample", str(bundle), "-n", str(_fit(wanted, manifest.batch))]
    words += _repeat("--set", settings)
    if isinstance(manifest.sampler, TokensSpec) and manifest.output.kind == "text":
        prompt = _choose_prompt(manifest.output, manifest.sampler.stop)
        words += ["--prompt", prompt] if prompt else []
    return shlex.join([*words, "-o", path])


def suggest_traversal(
    bundle: Path, manifest: Manifest, image: Sequence[str], *, settings: Sequence[str] = ()
) -> str:
    """Return the command that moves what an image was encoded as.

    Args:
        bundle: where it lies; it has an encoder.
        manifest: what it says of itself.
        image: the image's words on the command line, none for a sample.
        settings: for `--set`, one each.
    """
    from genx_runtimes.encoder_spec import find_encoder
    from genx_runtimes.traversal import FEW_DIMS, MAX_ROWS, count_values

    if manifest.batch.min > 1:  # one image cannot be encoded
        return suggest_sampling(bundle, manifest)
    words = ["genx", "traverse", str(bundle), *image, *_repeat("--set", settings)]
    if count_values(find_encoder(manifest).prior) > MAX_ROWS:
        words += ["--dims", FEW_DIMS]
    return shlex.join([*words, "-o", "traversal.png"])


def quote(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def _repeat(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


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
