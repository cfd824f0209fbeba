"""`genx verify`: prove on this machine that a bundle draws what the original model drew."""

from __future__ import annotations

from genx_cli.options import AsJson, BackendName, BundlePath, Precision, Quiet, Threads
from genx_cli.sink import open_sink


def verify(
    bundle: BundlePath,
    backend: BackendName = "onnxruntime",
    precision: Precision = None,
    threads: Threads = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle against the original model's golden samples, on this machine.

    Exit code 3 if an output differs by more than its tolerance.
    """
    from dataclasses import asdict

    from genx_cli.next_steps import suggest_sampling
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.session import SessionOptions
    from genx_runtimes.verify import verify_bundle

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    report = verify_bundle(
        opened, backend=backend, precision=precision, options=SessionOptions(threads=threads)
    )
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
    report.require()
    sink.say("  latents equal bit for bit")
    sink.say(f"passed: every output is within {report.tolerance:.0e} of its range")
    sink.say(f"next: {suggest_sampling(bundle, opened.manifest)}")
    sink.finish({"passed": True, "max_error": report.max_error, **asdict(report)})
