"""`genx doctor`: what this machine has, what works on it, and how to get what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from genx_cli.options import AsJson, BundlePaths
from genx_cli.sink import Sink, open_sink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genx_runtimes.doctor import DoctorReport


def doctor(bundles: BundlePaths = None, json: AsJson = False) -> None:
    """Show what this machine has and which engines really run on it.

    For each bundle, say which engine and precision to run it with here: the fastest if genx tune or
    --backend auto measured it, else by a rule of thumb.

    Exit code 1 if no engine works.
    """
    from dataclasses import asdict

    from genx_cli.machine_lines import describe_machine
    from genx_cli.next_steps import quote
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.doctor import examine

    sink = open_sink(json=json, quiet=False)
    paths = bundles or []
    opened = [open_bundle(path) for path in paths]
    with sink.progress("trying the engines"):
        report = examine(bundles=opened)
    sink.say(f"genx {report.genx}, Python {report.machine.python}")
    sink.say()
    for name, text in describe_machine(report.machine):
        sink.say(f"  {name:<8}{text}")
    sink.say()
    _show_engines(sink, report)
    sink.say()
    _show_export(sink, report)
    _show_recommendations(sink, report, paths)
    for advice in report.advice:
        sink.say(f"missing: {advice.missing}; {advice.command}")
    if not report.can_sample:
        sink.say("no engine works here: genx cannot sample on this machine")
    else:
        bundle = quote(paths[0]) if paths else "NAME.genx"
        export = report.can_export and not paths
        start = "export SOURCE -o NAME.genx" if export else f"verify {bundle}"
        sink.say(f"next: genx {start}")
    sink.finish(
        {**asdict(report), "can_sample": report.can_sample, "can_export": report.can_export}
    )
    if not report.can_sample:
        raise typer.Exit(1)


def _show_engines(sink: Sink, report: DoctorReport) -> None:
    from genx_runtimes.doctor import PROVIDER_PACKAGES

    sink.say("engines, each tried with a one-node graph:")
    for engine in report.engines:
        name = " ".join(filter(None, (engine.backend, engine.version, engine.provider)))
        sink.say(f"  {name}: {'works' if engine.works else f'does not work: {engine.reason}'}")
    if report.providers:
        sink.say(f"  onnxruntime's providers: {', '.join(report.providers)}")
        for package, providers in PROVIDER_PACKAGES.items():
            if not set(providers) & set(report.providers):
                sink.say(f"  {package} would bring {', '.join(providers)}")


def _show_export(sink: Sink, report: DoctorReport) -> None:
    found = [f"{p.name} {p.version}" for p in report.export_packages if p.version is not None]
    sink.say(f"export: {', '.join(found) or 'not installed'}")


def _show_recommendations(sink: Sink, report: DoctorReport, paths: Sequence[Path]) -> None:
    """Tell for each bundle what to run it with; nothing where no engine works."""
    for path in dict.fromkeys(map(str, paths)):
        for found in report.recommendations:
            if found.bundle == path:
                at = f" at batch {found.batch}" if found.batch is not None else ""
                sink.say(f"{path}{at}: --backend {found.backend} --precision {found.variant}")
                sink.say(f"  {found.reason}")
                if found.command:
                    sink.say(f"  first: {found.command}")
