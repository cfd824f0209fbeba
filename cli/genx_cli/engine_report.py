"""What is told of compiled engines: what they are valid for, and what their layers compute in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genx_cli.sink import Sink
    from genx_runtimes.engines.precision import LayerPrecision
    from genx_runtimes.engines.sidecar import Sidecar


def summarise_layers(layers: Iterable[LayerPrecision]) -> str:
    """Return "4 int8, 1 float": how many layers that multiply compute in what."""
    counts = Counter(layer.runs for layer in layers)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none"


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
    from genx_runtimes.cache import cache_folder
    from genx_runtimes.engines.store import list_engines, read_sidecar
    from genx_runtimes.errors import InputError

    if path.suffix == ".engine":
        return [path]
    bundle = open_bundle(path)
    hashes = {ref.sha256 for v in bundle.manifest.variants for ref in v.graphs.values()}
    own = list_engines(path / "engines") if path.is_dir() else []
    cached = list_engines(cache_folder("engines"))
    found = own + [p for p in cached if read_sidecar(p).key.onnx_sha256 in hashes]
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
