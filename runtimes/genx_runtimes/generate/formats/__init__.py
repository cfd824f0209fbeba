"""The registry of formats that shards are written in.

A new format costs one file here with `open_shard`, one line in `FORMATS` and its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from genx_runtimes.errors import BackendUnavailableError, InputError, suggest

if TYPE_CHECKING:
    from genx_runtimes.generate.layout import Layout
    from genx_runtimes.generate.plan import ImageSettings
    from genx_runtimes.manifest import Manifest
    from genx_runtimes.sampler import Batch

__all__ = ["FORMATS", "Format", "Write", "find_format"]

Write = Callable[["Batch"], None]


class _FormatModule(Protocol):
    def open_shard(
        self, path: Path, layout: Layout, count: int
    ) -> AbstractContextManager[Write]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What the registry knows of a format without importing it.

    Args:
        name: as in `--format`.
        suffix: of a shard that is a file; empty where it is a folder.
        requires: a package that is not part of genx; empty where none is needed.
        extra: of genx, which brings it.
        raw: whether it holds what the model returned, images too.
        images_only: whether it holds images, as PNG, and nothing else.
    """

    name: str
    suffix: str = ""
    requires: str = ""
    extra: str = ""
    raw: bool = False
    images_only: bool = False

    def check(self, manifest: Manifest) -> None:
        """Raise unless a bundle's samples can be written here.

        Raises:
            InputError: they cannot.
            BackendUnavailableError: a package is missing; the fix brings it.
        """
        if manifest.sampler.kind == "translate":
            raise InputError(
                f"{manifest.name} turns pictures into others, there is nothing to draw",
                fix="genx translate BUNDLE pictures/ -o translated/",
            )
        if self.images_only and manifest.output.kind != "image":
            others = ", ".join(f.name for f in FORMATS if not f.images_only)
            raise InputError(
                f"--format {self.name} is for images, the output of this bundle is "
                f"{manifest.output.noun}",
                fix=f"choose another format: {others}",
            )
        if self.requires and find_spec(self.requires) is None:
            raise BackendUnavailableError(
                f"--format {self.name} needs {self.requires}",
                fix=f"pip install 'genx[{self.extra}]'",
            )

    def settle_images(
        self, manifest: Manifest, image: ImageSettings | None
    ) -> ImageSettings | None:
        """Return how images become bytes; None where none do.

        Raises:
            InputError: a setting that has no meaning here.
        """
        from genx_runtimes.generate.plan import ImageSettings

        encodes = manifest.output.kind == "image" and not self.raw
        if image is None:
            return ImageSettings().settle() if encodes else None
        if not encodes:
            what = "what the model returned" if self.raw else manifest.output.noun
            raise InputError(f"--format {self.name} writes {what}: image settings have no meaning")
        if self.images_only and image.encoding != "png":
            raise InputError(f"--format {self.name} writes PNG", fix="leave --image out")
        return image.settle()

    def open_shard(self, path: Path, layout: Layout, count: int) -> AbstractContextManager[Write]:
        """Open a new shard: gives the function that is handed each batch, in order.

        Args:
            path: a new file, or a new folder.
            layout: what is written of a sample.
            count: samples that there will be.
        """
        module = import_module(f"genx_runtimes.generate.formats.{self.name}")
        return cast("_FormatModule", module).open_shard(path, layout, count)


FORMATS = (
    Format(name="parquet", suffix=".parquet", requires="pyarrow", extra="parquet"),
    Format(name="webdataset", suffix=".tar"),
    Format(name="png", images_only=True),
    Format(name="npy", raw=True),
)


def find_format(name: str) -> Format:
    """Return the format of a name.

    Raises:
        InputError: there is none of that name.
    """
    for form in FORMATS:
        if form.name == name:
            return form
    raise InputError(f"unknown format {name!r}", fix=suggest(name, [f.name for f in FORMATS]))
