"""The manifest of a bundle as typed, frozen records.

Source: docs/bundle.md, which this file follows.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import msgspec

from genx_runtimes.errors import FormatVersionError, ManifestError, suggest
from genx_runtimes.sampling_specs import SamplerSpec

FORMAT = "genx-bundle"
FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MANIFEST_PATH = "manifest.json"
GOLDEN_PATH = "golden.npz"
# The part of the golden arrays that is the sampling loop's as a whole, not a component's.
LOOP = "loop"

Role = Literal["prior", "loop", "data", "output"]


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

    @property
    def usual(self) -> int:
        """Samples a pass where nobody names a number: 16, or what is nearest to it."""
        return min(max(16, self.min), self.max)


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


class ConstantPrior(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="constant"):
    """A knob that is the same for all samples unless a condition sets it: (B, *shape) float32."""

    name: str
    value: float
    low: float
    high: float
    shape: tuple[int, ...] = ()
    kind: ClassVar[str] = "constant"


Prior = NormalPrior | UniformPrior | CategoricalPrior | ConstantPrior

OutputKind = Literal["image", "audio", "sequence", "table", "text", "voxels", "tensor"]


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one sample is.

    Args:
        name: of the graph output, or of what the loop makes.
        kind: what it is written as.
        range: of an image, of audio: the values of black and white, of full scale.
        layout: of an image.
        bits: of each channel of an image file.
        sample_rate: of audio, in Hz.
        columns: names of the values of a sequence's element or a table's row.
        vocabulary: the text of each token, of text.
    """

    name: str
    kind: OutputKind
    range: tuple[float, float] | None = None
    layout: Literal["NCHW", "NHW"] | None = None
    bits: Literal[8, 16] = 8
    sample_rate: int | None = None
    columns: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """The kind as a sentence has it: `an image`, `audio`, `a table`."""
        articles = {"image": "an ", "sequence": "a ", "table": "a ", "tensor": "a "}
        return articles.get(self.kind, "") + self.kind


class NodeCost(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a graph and its first output, by which engines name what they made of it."""

    name: str
    output: str
    macs: int


class GraphCost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a graph takes at least, counted at export.

    A call with B samples takes `B * macs` multiply-adds and moves `weight_bytes + B * io_bytes`.

    Args:
        macs: multiply-adds of matrix products and convolutions, for one sample.
        weight_bytes: constants as they are stored, read once a call.
        io_bytes: inputs, outputs and what is looked up in tables, for one sample.
        nodes: the part of `macs` of each of the heaviest nodes, the heaviest first.
    """

    macs: int
    weight_bytes: int
    io_bytes: int
    nodes: tuple[NodeCost, ...] = ()


class VariantSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The components at one precision and form, what they keep to, and what was measured."""

    name: str
    precision: str
    graphs: dict[str, FileRef]
    tolerance: float
    quality: dict[str, float]
    form: str = "native"
    min_psnr_db: float | None = None
    loop_tolerance: float | None = None
    recipe: dict[str, bool | str | int | float | None] = {}
    kept: dict[str, tuple[str, ...]] = {}
    costs: dict[str, GraphCost] = {}


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

    def sample_spec(self) -> TensorSpec:
        """Return the graph output that is the sample, of a bundle that samples in one pass."""
        outputs = self.component(self.sampler.components[0]).outputs
        return next(t for t in outputs if t.name == self.output.name)


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    kind: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What is read before anything else is believed."""

    format: str
    format_version: int
    sampler: _Kind | None = None


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
    kinds = [spec.kind for spec in get_args(SamplerSpec)]
    if head.sampler is not None and head.sampler.kind not in kinds:
        raise ManifestError(
            f"unknown sampler {head.sampler.kind!r}", fix=suggest(head.sampler.kind, kinds)
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as err:
        raise ManifestError(f"{MANIFEST_PATH}: {err}") from err
    from genx_runtimes.manifest_checks import list_contradictions

    for problem in list_contradictions(manifest):
        raise ManifestError(f"{MANIFEST_PATH}: {problem}")
    return manifest
