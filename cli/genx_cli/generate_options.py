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
        str,
        typer.Option(
            "--on",
            help="local: processes on this machine; ray: actors of Ray Data.",
            rich_help_panel=_RUN,
        ),
    ] = "local"
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Ray cluster to use, auto for the one that runs here; RAY_ADDRESS, or one that "
            "is started for this run.",
            rich_help_panel=_RUN,
        ),
    ] = None
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

    def settle_address(self) -> str | None:
        """Return the cluster's address; refuse one that has no meaning."""
        from genx_runtimes.errors import InputError

        if self.ray_address is not None and self.on != "ray":
            raise InputError(f"--ray-address has no meaning with --on {self.on}", fix="--on ray")
        return self.ray_address
