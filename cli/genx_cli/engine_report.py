"""What is told of compiled engines: what they are valid for, and what their layers compute in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genx_cli.sink import Progress, Sink
    from genx_runtimes.engines.build import Built
    from genx_runtimes.engines.precision import LayerPrecision
    from genx_runtimes.engines.sidecar import Sidecar


def summarise_layers(layers: Iterable[LayerPrecision]) -> str:
    """Return "4 int8, 1 float": how many layers that multiply compute in what."""
    counts = Counter(layer.runs for layer in layers)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none"


def follow(progress: Progress) -> Callable[[str, int, int], None]:
    """Return what shows a build's steps on a progress display."""

    def tell(text: str, done: int, total: int) -> None:
        progress.step(text)
        progress.measure(done, total)

    return tell


def tell_built(sink: Sink, built: Sequence[Built]) -> str:
    """Show what was built, and warn of int8 that is turned back; return the last variant's name."""
    rows = []
    for each in built:
        sidecar = each.engine.sidecar
        for layer in sidecar.layers:
            if layer.is_dequantised:
                sink.warn(
                    f"{sidecar.variant} {layer.name} is quantised in the graph and runs in "
                    f"{layer.runs}"
                )
        rows.append(
            (
                f"{sidecar.variant} {sidecar.component}",
                f"{sidecar.bytes / 1e6:.2f}",
                f"{sidecar.build_seconds:.1f}" if each.is_new else "was there",
                summarise_layers(sidecar.layers),
                "not run here" if sidecar.max_error is None else f"{sidecar.max_error:.1e}",
            )
        )
    sink.table(("engine", "MB", "seconds", "layers that multiply", "max error"), rows)
    new = sum(each.is_new for each in built)
    folder = built[0].engine.path.parents[1]
    sink.say(f"built {new} engines, {len(built) - new} were there; a cache, in {folder}")
    if any(each.engine.sidecar.max_error is None for each in built):
        sink.say("not verified: they have not run on a GPU yet")
    return built[-1].engine.sidecar.variant


def list_engines(built: Iterable[Built]) -> list[dict[str, object]]:
    """Return what was built as JSON has it."""
    import msgspec

    return [
        {
            "path": str(each.engine.path),
            "new": each.is_new,
            "sidecar": msgspec.to_builtins(each.engine.sidecar),
        }
        for each in built
    ]


def tell_engines(sink: Sink, path: Path) -> None:
    """Show one engine file, or all engines of a bundle.

    Raises:
        InputError: there is none.
        IntegrityError: one is damaged.
    """
    import msgspec

    from genx_runtimes.engines.store import read_engine

    engines = [read_engine(found) for found in _find(path)]
    for engine in engines:
        _tell(sink, engine.path, engine.sidecar)
    sink.finish(
        {
            "engines": [
                {"path": str(e.path), "sidecar": msgspec.to_builtins(e.sidecar)} for e in engines
            ]
        }
    )


def _find(path: Path) -> list[Path]:
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.engines.store import cache_engines, list_engines
    from genx_runtimes.errors import InputError

    if path.suffix == ".engine":
        if not path.is_file():
            raise InputError(f"there is no engine {path}", fix="genx inspect --engine BUNDLE")
        return [path]
    bundle = open_bundle(path)
    hashes = {ref.sha256: None for v in bundle.manifest.variants for ref in v.graphs.values()}
    folders = [path / "engines"] if path.is_dir() else []
    found = [e for f in (*folders, *map(cache_engines, hashes)) for e in list_engines(f)]
    if not found:
        raise InputError(
            f"{path} has no engine yet", fix=f"genx build {path} --target tensorrt-rtx"
        )
    return found


def _tell(sink: Sink, path: Path, sidecar: Sidecar) -> None:
    settings, built = sidecar.key.settings, sidecar.key.environment
    sink.say(str(path))
    batch = settings.batch
    gpus = ", ".join(settings.compute_capabilities)
    sink.say(
        f"  {settings.target} {built.tensorrt}, {sidecar.variant} {sidecar.component}, "
        f"{sidecar.bytes / 1e6:.2f} MB, batch {batch.min} to {batch.max}, tuned for {batch.opt}"
    )
    where = [f"{built.os} {built.arch}", built.l4t, built.gpu]
    where += [f"compute capability {gpus}" if gpus else "", f"CUDA {built.cuda}" * bool(built.cuda)]
    sink.say(f"  valid for {', '.join(filter(None, where))}")
    error = sidecar.max_error
    sink.say(
        "  not verified where it was built: there was no GPU"
        if error is None
        else f"  verified as it was built: max error {error:.1e} of the output range"
    )
    sink.table(
        ("layer that multiplies", "kind", "graph", "runs in"),
        [
            (x.name, x.kind, x.asked, x.runs + (" (dequantised)" if x.is_dequantised else ""))
            for x in sidecar.layers
        ],
    )
