"""The manifest of a bundle as typed, frozen records.

Source: docs/bundle.md, which this file follows.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import msgspec

from genx_runtimes.errors import FormatVersionError, ManifestError

FORMAT = "genx-bundle"
FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MANIFEST_PATH = "manifest.json"
GOLDEN_PATH = "golden.npz"

Role = Literal["prior", "data", "output"]


class FileRef(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the bundle: its relative path, size in bytes and SHA-256 (hexadecimal)."""

    path: str
    bytes: int
    sha256: str


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output of a graph; `shape` holds ints and symbol names, `batch` first."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    role: Role


class ComponentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One graph of the model, whatever its precision."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class BatchBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The batch sizes that every graph accepts, both ends included."""

    min: int
    max: int


class NormalPrior(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="normal"):
    """Independent N(0, 1) values: (B, *shape) float32."""

    name: str
    shape: tuple[int, ...]
    kind: ClassVar[str] = "normal"


class UniformPrior(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="uniform"):
    """Independent uniform values in [low, high): (B, *shape) float32."""

    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    kind: ClassVar[str] = "uniform"


class CategoricalPrior(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="categorical"
):
    """Equally likely classes: (B,) int64 indices, or (B, classes) float32 one-hot vectors."""

    name: str
    classes: int
    labels: tuple[str, ...] = ()
    encoding: Literal["index", "one_hot"] = "index"
    kind: ClassVar[str] = "categorical"


Prior = NormalPrior | UniformPrior | CategoricalPrior


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample is: an image (NCHW, with its value range) or a plain tensor."""

    name: str
    kind: Literal["image", "tensor"]
    range: tuple[float, float] | None = None
    layout: Literal["NCHW"] | None = None


class SamplerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The sampling loop and the component that it runs."""

    kind: str
    component: str


class VariantSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The components at one precision and form, what they keep to, and what was measured."""

    name: str
    precision: str
    graphs: dict[str, FileRef]
    tolerance: float
    quality: dict[str, float]
    form: str = "native"
    min_psnr_db: float | None = None
    recipe: dict[str, bool | str | int | float | None] = {}
    kept: dict[str, tuple[str, ...]] = {}


class GoldenSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples: file, seed, how many, and what computed them."""

    file: FileRef
    seed: int
    count: int
    reference: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All of manifest.json."""

    format: str
    format_version: int
    name: str
    description: str
    family: str
    components: tuple[ComponentSpec, ...]
    batch: BatchBounds
    priors: tuple[Prior, ...]
    output: OutputSpec
    sampler: SamplerSpec
    variants: tuple[VariantSpec, ...]
    golden: GoldenSpec
    made_by: dict[str, str]

    def component(self, name: str) -> ComponentSpec:
        """Return the component called `name`; `decode_manifest` made sure of those referred to."""
        return next(c for c in self.components if c.name == name)


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The two fields that are read before anything else is believed."""

    format: str
    format_version: int


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented UTF-8 JSON; the same manifest gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Parse and check manifest.json.

    Raises:
        FormatVersionError: written by a newer genx.
        ManifestError: not JSON, a field is missing or has the wrong type, or fields contradict.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.MsgspecError as err:
        raise ManifestError(f"{MANIFEST_PATH} is not a genx manifest: {err}") from err
    if head.format != FORMAT:
        raise ManifestError(f"{MANIFEST_PATH}: format is {head.format!r}, expected {FORMAT!r}")
    if head.format_version > FORMAT_VERSION:
        raise FormatVersionError(
            f"the bundle has format version {head.format_version}, "
            f"this genx reads up to {FORMAT_VERSION}",
            fix="pip install --upgrade genx",
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as err:
        raise ManifestError(f"{MANIFEST_PATH}: {err}") from err
    for problem in _contradictions(manifest):
        raise ManifestError(f"{MANIFEST_PATH}: {problem}")
    return manifest


def _contradictions(manifest: Manifest) -> list[str]:
    """List what JSON types alone cannot exclude."""
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9._-]+", manifest.name):
        problems.append(f"name {manifest.name!r} has characters other than A-Z a-z 0-9 . _ -")
    names = [c.name for c in manifest.components]
    if manifest.format_version < 1:
        problems.append(f"format_version is {manifest.format_version}, expected 1 or more")
    if not 1 <= manifest.batch.min <= manifest.batch.max:
        problems.append(f"batch {manifest.batch.min}..{manifest.batch.max} is not a range from 1")
    if manifest.sampler.component not in names:
        problems.append(f"the sampler runs component {manifest.sampler.component!r}, not present")
        return problems
    sampled = manifest.component(manifest.sampler.component)
    if manifest.output.name not in [t.name for t in sampled.outputs]:
        problems.append(f"output {manifest.output.name!r} is no output of {sampled.name!r}")
    if manifest.output.kind == "image" and (
        manifest.output.range is None or not manifest.output.range[0] < manifest.output.range[1]
    ):
        problems.append("an image output needs a range [low, high] with low < high")
    priors = [p.name for p in manifest.priors]
    needed = [t.name for t in sampled.inputs]
    if sorted(priors) != sorted(needed):
        problems.append(f"priors {priors} do not match the inputs {needed} of {sampled.name!r}")
    for prior in manifest.priors:
        if isinstance(prior, CategoricalPrior) and (
            prior.classes < 1 or len(prior.labels) not in (0, prior.classes)
        ):
            problems.append(
                f"prior {prior.name!r}: {len(prior.labels)} labels, {prior.classes} classes"
            )
    if not manifest.variants:
        problems.append("there is no variant")
    problems += [
        f"variant {v.name!r} has graphs for {sorted(v.graphs)}, expected {sorted(names)}"
        for v in manifest.variants
        if sorted(v.graphs) != sorted(names)
    ]
    return problems
