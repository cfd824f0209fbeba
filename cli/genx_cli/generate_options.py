"""Options of `genx generate` that go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.options import AllowFallback, BackendName, Precision

if TYPE_CHECKING:
    from genx_runtimes.generate import ImageSettings

_IMAGES, _RUN = "Images", "Where it runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChoice:
    """How images are written; a parameter of this type is all of these options."""

    image: Annotated[
        str | None,
        typer.Option(
            help="png (the default), jpeg or webp, in webdataset and parquet.",
            rich_help_panel=_IMAGES,
        ),
    ] = None
    compression: Annotated[
        int | None,
        typer.Option(help="Of PNG, 0 to 9, the smallest; 6.", rich_help_panel=_IMAGES),
    ] = None
    quality: Annotated[
        int | None,
        typer.Option(help="Of jpeg and webp, 1 to 100; 95.", rich_help_panel=_IMAGES),
    ] = None

    def settle(self) -> ImageSettings | None:
        """Return them as the runtime takes them; None where nothing is said."""
        from genx_runtimes.generate import ImageSettings

        if self.image is None and self.compression is None and self.quality is None:
            return None
        return ImageSettings(
            encoding=self.image or "png",  # type: ignore[arg-type]
            compression=self.compression,
            quality=self.quality,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice:
    """Who makes the shards; a parameter of this type is all of these options."""

    on: Annotated[
        str, typer.Option("--on", help="local: processes on this machine.", rich_help_panel=_RUN)
    ] = "local"
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes, each with a session; the usable cores over --threads, or 1 on a GPU.",
            rich_help_panel=_RUN,
        ),
    ] = None
    backend: BackendName = "onnxruntime"
    precision: Precision = None
    threads: Annotated[int, typer.Option(help="Engine threads of each worker.")] = 1
    allow_fallback: AllowFallback = False
