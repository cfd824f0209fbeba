"""`genx serve`: bundles as a service."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from genx_cli.failures import INTERRUPTED
from genx_cli.options import BackendName, Precision, Quiet, Threads
from genx_cli.sink import open_sink


def serve(  # noqa: PLR0913 - one parameter a flag
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles: NAME.genx.")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    backend: BackendName = "onnxruntime",
    precision: Precision = None,
    threads: Threads = None,
    instances: Annotated[int, typer.Option(help="Sessions of each bundle.")] = 1,
    max_batch: Annotated[
        int | None, typer.Option(help="Samples of a call; 16, or what the bundle allows.")
    ] = None,
    max_queue_delay_ms: Annotated[
        float, typer.Option(help="How long a sample may wait for others to share its call.")
    ] = 5.0,
    max_memory: Annotated[
        float | None,
        typer.Option(metavar="MB", help="Of all bundles; the least used one is unloaded."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What a request may ask for: n=256, steps, length, pixels, body_bytes, "
            "head_bytes; in_progress and queue, beyond which it gets 429; seconds, after which it "
            "gets 504; read_seconds, after which what is not sent gets 408; connections. "
            "Repeat for each.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keys, one a line; one is asked for."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name that clients may call this server by, beside its own; only those are "
            "answered. At the loopback without keys localhost is all. Repeat for each.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Serve sampling over HTTP: Open Inference Protocol, OpenAI's endpoints, genx's own, a page.

    Ends on SIGTERM or Ctrl-C, when what was accepted has been answered.
    """
    from genx_cli.extras import require_extra
    from genx_runtimes.backends import split_backend
    from genx_runtimes.bundle import AUTO, open_bundle
    from genx_runtimes.errors import InputError
    from genx_runtimes.serve.hosts import is_loopback
    from genx_runtimes.serve.settings import ServeSettings, read_api_keys, read_limits

    sink = open_sink(json=False, quiet=quiet)
    require_extra("serve", "genx serve")
    from genx_runtimes.serve.run import run_server

    if not host:
        raise InputError("host is empty", fix="--host 0.0.0.0 listens at every address")
    if not 0 <= port < 65536:
        raise InputError(f"port is {port}, expected 0 to 65535")
    if max_memory is not None and not 0 < max_memory < math.inf:
        raise InputError(f"max-memory is {max_memory:g} MB, expected a number above 0")
    if backend != AUTO:
        split_backend(backend)
    keys = () if api_key_file is None else read_api_keys(api_key_file)
    settings = ServeSettings(
        backend=backend,
        precision=precision,
        threads=threads,
        instances=instances,
        max_batch=max_batch,
        max_queue_delay_s=max_queue_delay_ms / 1e3,
        memory_bytes=None if max_memory is None else int(max_memory * 1e6),
        api_keys=keys,
        allowed_hosts=tuple(allowed_host or ()),
        limits=read_limits(limit or []),
    )
    opened = [open_bundle(path.absolute()) for path in bundles]
    for bundle in opened:
        bundle.variant(precision)

    def tell(address: str) -> None:
        if not keys and not is_loopback(urlsplit(address).hostname or ""):
            sink.warn(
                f"others reach {address} and no key is asked for: whoever does can draw samples, "
                f"and load and unload models; see --api-key-file"
            )
        names = ", ".join(bundle.manifest.name for bundle in opened)
        sink.say(f"serving {names} at {address}; Ctrl-C ends it")
        sink.say(f"next: open {address}/ or curl {address}/v2/health/ready")

    try:
        run_server(opened, settings, host=host, port=port, started=tell)
    except KeyboardInterrupt:
        sink.say("stopped; what was accepted has been answered")
        raise typer.Exit(INTERRUPTED) from None
