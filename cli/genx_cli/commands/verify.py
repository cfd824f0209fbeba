"""`genx verify`: prove on this machine that a bundle draws what the original model drew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.engines import EngineChoice, settle_engine, warn_once
from genx_cli.options import AsJson, BundlePath, Force, Quiet
from genx_cli.sink import open_sink

if TYPE_CHECKING:
    from genx_runtimes.verify_loop import LoopCheck


def verify(
    bundle: BundlePath,
    *,
    choice: EngineChoice,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw the variants side by side, with the amplified difference."
        ),
    ] = None,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle against the original model's golden samples, on this machine.

    Exit code 3 if an output differs by more than its tolerance.
    """
    from dataclasses import asdict

    from genx_cli.comparison import check_picture, draw_comparison
    from genx_cli.next_steps import suggest_sampling
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.verify import verify_bundle

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    engine = settle_engine(sink, opened, choice, opened.manifest.batch.min)
    if picture is not None:
        check_picture(picture, opened.manifest.output, force=force)
    report = verify_bundle(
        opened, backend=engine.backend, precision=engine.precision, options=engine.options
    )
    notes = warn_once(sink, engine.notes)
    sizes = ", ".join(map(str, report.batches))
    sink.say(
        f"{opened.manifest.name} {report.variant} on {report.backend}: "
        f"{report.samples} golden samples at batch {sizes}"
    )
    sink.table(
        ("output", "max error", "PSNR dB"),
        [
            (f"{c.component}/{c.output}", f"{c.max_error:.1e}", f"{c.psnr_db:.1f}")
            for c in report.checks
        ],
    )
    if report.loop is not None:
        sink.say(f"  {_describe_loop(report.loop)}")
    report.require()
    if opened.manifest.priors:
        sink.say("  latents equal bit for bit")
    floor = "" if report.min_psnr_db is None else f", {report.min_psnr_db:.1f} dB PSNR or more"
    sink.say(f"passed: every output is within {report.tolerance:.0e} of its range{floor}")
    if picture is not None:
        for line in draw_comparison(
            opened, picture, backend=engine.backend, options=engine.options
        ):
            sink.say(f"  {line}")
        sink.say(f"wrote {picture}: a column a sample; the last rows are 8 x the differences")
    sink.say(f"next: {suggest_sampling(bundle, opened.manifest)}")
    sink.finish({"passed": True, "max_error": report.max_error, **asdict(report), "notes": notes})


def _describe_loop(loop: LoopCheck) -> str:
    """Say how far the whole loop drifts, at up to six places on the way."""
    what = "samples that differ" if loop.discrete else "error of the worst sample"
    text = f"whole loop: {what} {_number(loop, loop.error)}"
    if not loop.curve:
        return text
    last = len(loop.curve) - 1
    places = sorted({round(last * part / 5) for part in range(6)})
    curve = ", ".join(f"{place + 1}: {_number(loop, loop.curve[place])}" for place in places)
    return f"{text}; mean after step {curve}"


def _number(loop: LoopCheck, value: float) -> str:
    return f"{value:.0%}" if loop.discrete else f"{value:.1e}"
