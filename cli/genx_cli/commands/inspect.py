"""`genx inspect`: what is in a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.options import AsJson, BundlePath, Quiet
from genx_cli.sink import open_sink

if TYPE_CHECKING:
    from genx_runtimes.manifest import OutputSpec, Prior, TensorSpec
    from genx_runtimes.sampling_specs import TranslateSpec


def inspect(
    bundle: BundlePath,
    engine: Annotated[
        bool,
        typer.Option(
            "--engine",
            help="Show compiled engines: a bundle's, or the FILE.engine named instead of one.",
        ),
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what a bundle holds, after checking the hash of every file."""
    import msgspec

    if engine:
        from genx_cli.engine_report import tell_engines

        tell_engines(open_sink(json=json, quiet=quiet), bundle)
        return

    from genx_cli.next_steps import suggest_sampling
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.sampling_specs import TranslateSpec

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    opened.check_files()
    manifest = opened.manifest
    sink.say(f"{manifest.name}  ({manifest.family}, format {manifest.format_version})")
    if manifest.description:
        sink.say(f"  {manifest.description}")
    sink.say(f"  bundle {opened.digest[:16]}, batch {manifest.batch.min} to {manifest.batch.max}")
    if isinstance(manifest.sampler, TranslateSpec):
        sink.say(f"takes\n  {_describe_translation(manifest.sampler)}")
    if manifest.priors:
        sink.say("draws")
    for prior in manifest.priors:
        sink.say(f"  {_describe_prior(prior)}")
    sink.say(f"makes\n  {_describe_output(manifest.output)}")
    sink.say("components")
    for component in manifest.components:
        ports = (
            ", ".join(map(_describe_port, side)) for side in (component.inputs, component.outputs)
        )
        sink.say(f"  {component.name}: " + " -> ".join(ports))
    sink.say("variants")
    for variant in manifest.variants:
        size = sum(ref.bytes for ref in variant.graphs.values())
        error = variant.quality.get("max_error", 0.0)
        sink.say(
            f"  {variant.name}: {size / 1e6:.2f} MB, max error {error:.1e} against "
            f"{manifest.golden.reference}, allowed {variant.tolerance:.0e}"
        )
        if variant.precision != "fp32" or variant.form != "native":
            psnr = variant.quality.get("psnr_db")
            close = "" if psnr is None else f", {psnr:.1f} dB mean PSNR on fresh samples"
            sink.say(f"    {variant.form} form{close}")
        for name, layers in variant.kept.items():
            sink.say(f"    {name}: {', '.join(layers)} stayed in fp32")
    sink.say("made by\n  " + ", ".join(f"{name} {v}" for name, v in manifest.made_by.items()))
    sink.say(f"next: {suggest_sampling(bundle, manifest)}")
    sink.finish({"digest": opened.digest, "manifest": msgspec.to_builtins(manifest)})


def _describe_prior(prior: Prior) -> str:
    from genx_runtimes.manifest import CategoricalPrior, ConstantPrior, UniformPrior

    if isinstance(prior, CategoricalPrior):
        labels = ", ".join(prior.labels) or f"0 to {prior.classes - 1}"
        return f"{prior.name}: one of {prior.classes} classes ({labels})"
    shape = " x ".join(map(str, prior.shape)) or "1"
    if isinstance(prior, ConstantPrior):
        return f"{prior.name}: {prior.value:g} unless set, {prior.low:g} to {prior.high:g}"
    if isinstance(prior, UniformPrior):
        return f"{prior.name}: {shape} uniform values in {prior.low:g} to {prior.high:g}"
    return f"{prior.name}: {shape} standard normal values"


def _describe_translation(spec: TranslateSpec) -> str:
    channels, height, width = spec.tile
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}[channels]
    larger = "" if spec.scale == 1 else f", made {spec.scale} x as large along each side"
    return (
        f"{spec.image}: {colours} pictures of any size, in tiles of {height} x {width} that share "
        f"{spec.overlap} pixels{larger}"
    )


def _describe_output(output: OutputSpec) -> str:
    if output.range is None:
        return f"{output.name}: {output.kind}"
    return f"{output.name}: {output.kind}, values {output.range[0]:g} to {output.range[1]:g}"


def _describe_port(port: TensorSpec) -> str:
    return f"{port.name} {port.dtype}({', '.join(map(str, port.shape))})"
