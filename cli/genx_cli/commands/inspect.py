"""`genx inspect`: what is in a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from genx_cli.options import AsJson, BundlePath, Quiet
from genx_cli.sink import open_sink


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

    from genx_cli.descriptions import (
        describe_output,
        describe_port,
        describe_prior,
        describe_sampler,
    )
    from genx_cli.next_steps import suggest_sampling
    from genx_runtimes.bundle import open_bundle

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    opened.check_files()
    manifest = opened.manifest
    sink.say(f"{manifest.name}  ({manifest.family}, format {manifest.format_version})")
    if manifest.description:
        sink.say(f"  {manifest.description}")
    sink.say(f"  bundle {opened.digest[:16]}, batch {manifest.batch.min} to {manifest.batch.max}")
    if manifest.priors:
        sink.say("draws")
    for prior in manifest.priors:
        sink.say(f"  {describe_prior(prior)}")
    sink.say(f"runs\n  {describe_sampler(manifest.sampler)}")
    sink.say(f"makes\n  {describe_output(manifest.output)}")
    sink.say("components")
    for component in manifest.components:
        ports = (
            ", ".join(map(describe_port, side)) for side in (component.inputs, component.outputs)
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
        if variant.loop_tolerance is not None:
            drift = variant.quality.get("loop_error", 0.0)
            sink.say(f"    whole loop {drift:.1e}, allowed {variant.loop_tolerance:.0e}")
        for name, layers in variant.kept.items():
            sink.say(f"    {name}: {', '.join(layers)} stayed in fp32")
    sink.say("made by\n  " + ", ".join(f"{name} {v}" for name, v in manifest.made_by.items()))
    sink.say(f"next: {suggest_sampling(bundle, manifest)}")
    sink.finish({"digest": opened.digest, "manifest": msgspec.to_builtins(manifest)})
