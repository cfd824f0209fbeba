"""What a data set is to be: all that determines its bytes, and how it is cut into shards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from genx_runtimes.backends import check_fallback, split_backend
from genx_runtimes.bundle import Bundle
from genx_runtimes.conditions import ConditionValue
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.generate.formats import find_format
from genx_runtimes.generate.versions import find_versions
from genx_runtimes.latents import LatentSource, check_indices
from genx_runtimes.sampler import settle_size
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.loop import LoopModel, SamplingOptions

DEFAULT_SHARD_SIZE = 10_000
MAX_SHARDS = 10_000
_LOSSY = ("jpeg", "webp")
FOLDER = "data"  # of the shards, in that of the data set
Scalar = str | int | float | list[float]


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an image becomes bytes; what is None is settled by `settle`.

    Args:
        encoding: png, which loses nothing, jpeg or webp.
        compression: of PNG: 0 (none) to 9 (smallest) of zlib.
        quality: of JPEG and WebP: 1 to 100.
    """

    encoding: Literal["png", "jpeg", "webp"] = "png"
    compression: int | None = None
    quality: int | None = None

    def settle(self) -> ImageSettings:
        """Return them with the defaults, compression 6 or quality 95.

        Raises:
            InputError: a value is out of range, or has no meaning for the encoding.
        """
        if self.encoding == "png":
            if self.quality is not None:
                raise InputError("PNG loses nothing: it has no quality", fix="--image jpeg or webp")
            made = ImageSettings(compression=6 if self.compression is None else self.compression)
        elif self.encoding in _LOSSY:
            if self.compression is not None:
                raise InputError(f"{self.encoding} has a quality, no compression", fix="--quality")
            quality = 95 if self.quality is None else self.quality
            made = ImageSettings(encoding=self.encoding, quality=quality)
        else:
            raise InputError(
                f"images cannot be written as {self.encoding!r}",
                fix=suggest(self.encoding, ["png", *_LOSSY]),
            )
        if made.compression is not None and not 0 <= made.compression <= 9:
            raise InputError(f"compression is {made.compression}, expected 0 to 9")
        if made.quality is not None and not 1 <= made.quality <= 100:
            raise InputError(f"quality is {made.quality}, expected 1 to 100")
        return made


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that determines the bytes of a data set; the fields are those of docs/generate.md."""

    bundle: str
    n: int
    start: int
    seed: int
    shard_size: int
    format: str
    image: ImageSettings | None
    conditions: dict[str, Scalar]
    truncation: float | None
    options: dict[str, str | int | float]
    backend: str
    precision: str
    threads: int
    batch: int
    allow_fallback: bool
    versions: dict[str, str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A data set to be made; it can be pickled, and sent as JSON, to whatever makes its shards.

    Args:
        settings: what determines the bytes.
        bundle: the bundle's absolute path.
        folder: the data set's absolute path; all that make shards see the same folder there.
    """

    settings: Settings
    bundle: str
    folder: str

    @property
    def count(self) -> int:
        """How many shards there are."""
        return -(-self.settings.n // self.settings.shard_size)

    def span(self, index: int) -> range:
        """Return the indices of the samples in a shard."""
        size, end = self.settings.shard_size, self.settings.start + self.settings.n
        first = self.settings.start + index * size
        return range(first, min(first + size, end))

    def name(self, index: int) -> str:
        """Return a shard's path in the data set, with `/`."""
        return f"{FOLDER}/shard-{index:05d}{find_format(self.settings.format).suffix}"

    def path(self, index: int) -> Path:
        """Return where a shard lies."""
        return Path(self.folder, self.name(index))


def make_plan(  # noqa: PLR0913 - each is a setting of the data set
    bundle: Bundle,
    folder: str | os.PathLike[str],
    *,
    n: int,
    seed: int = 0,
    start: int = 0,
    shard_size: int = DEFAULT_SHARD_SIZE,
    format: str = "webdataset",
    image: ImageSettings | None = None,
    conditions: Mapping[str, ConditionValue] | None = None,
    truncation: float | None = None,
    options: SamplingOptions | None = None,
    backend: str = "onnxruntime",
    precision: str | None = None,
    threads: int = 1,
    batch: int | None = None,
    allow_fallback: bool = False,
) -> Plan:
    """Return the plan of a data set, checked as far as it can be without an engine.

    Args:
        bundle: what is sampled.
        folder: of the data set.
        n: samples, 1 or more.
        seed: 0 <= seed < 2^64.
        start: index of the first sample.
        shard_size: samples a shard.
        format: a name in `formats.FORMATS`.
        image: how images become bytes; for formats that hold encoded images.
        conditions: what is fixed instead of drawn, see `conditions.py`.
        truncation: as for `Sampler.sample`.
        options: of the sampling loop.
        backend: NAME or NAME:DEVICE, not "auto".
        precision: a variant's name; None is the first.
        threads: of the engine, in each process that makes shards.
        batch: samples a pass; None is what the bundle usually runs with.
        allow_fallback: as for `SessionOptions`.

    Raises:
        InputError: an argument is wrong, or the bundle cannot be written in this format.
        BackendUnavailableError: the format needs a package that is not installed.
    """
    manifest, loop = bundle.manifest, options or SamplingOptions()
    found = find_format(format)
    found.check(manifest)
    check_indices(start, n)
    _check_shards(n, shard_size)
    if threads < 1:
        raise InputError(f"threads is {threads}, expected 1 or more")
    size = manifest.batch.usual if batch is None else batch
    for count in {min(shard_size, n), n % shard_size or min(shard_size, n)}:
        settle_size(manifest.batch, size, count)
    split_backend(backend)
    if allow_fallback:
        check_fallback(backend)
    priors = find_sampler(manifest.sampler.kind).accept(LoopModel.of(manifest, {}), loop)
    LatentSource(priors, seed, conditions=conditions, truncation=truncation)
    pictures = found.settle_images(manifest, image)
    return Plan(
        settings=Settings(
            bundle=bundle.digest,
            n=n,
            start=start,
            seed=seed,
            shard_size=shard_size,
            format=format,
            image=pictures,
            conditions={k: _simplify(v) for k, v in (conditions or {}).items()},
            truncation=truncation,
            options=loop.given(),  # type: ignore[arg-type]
            backend=backend,
            precision=bundle.variant(precision).name,
            threads=threads,
            batch=size,
            allow_fallback=allow_fallback,
            versions=find_versions(backend, found, pictures),
        ),
        bundle=str(bundle.path.resolve()),
        folder=str(Path(folder).absolute()),
    )


def _check_shards(n: int, shard_size: int) -> None:
    if shard_size < 1:
        raise InputError(f"the shard size is {shard_size}, expected 1 or more")
    if n > shard_size * MAX_SHARDS:
        raise InputError(
            f"{n} samples in shards of {shard_size} make {-(-n // shard_size)} shards, "
            f"{MAX_SHARDS} are allowed",
            fix=f"--shard-size {-(-n // MAX_SHARDS)} or more",
        )


def _simplify(value: ConditionValue) -> Scalar:
    """Return a condition as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()  # type: ignore[no-any-return]
    return list(value) if not isinstance(value, str | int | float) else value
