"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: NAME.genx.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
BackendName = Annotated[str, typer.Option("--backend", help="Engine that runs the model.")]
Precision = Annotated[
    str | None, typer.Option(help="Variant of the bundle; the first one if not given.")
]
Threads = Annotated[int | None, typer.Option(help="Engine threads; the usable cores if not given.")]
