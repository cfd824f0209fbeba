"""`genx doctor`: what this machine has, what works on it, and how to get what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from genx_cli.options import AsJson
from genx_cli.sink import Sink, open_sink

if TYPE_CHECKING:
    from genx_runtimes.doctor import DoctorReport
    from genx_runtimes.machine import Gpu, Machine


def doctor(json: AsJson = False) -> None:
    """Show what this machine has and which engines really run on it.

    Exit code 1 if no engine works.
    """
    from dataclasses import asdict

    from genx_runtimes.doctor import PROVIDER_PACKAGES, examine

    sink = open_sink(json=json, quiet=False)
    with sink.progress("trying the engines"):
        report = examine()
    sink.say(f"genx {report.genx}, Python {report.machine.python}")
    sink.say()
    _show_machine(sink, report.machine)
    sink.say()
    sink.say("engines, each tried with a one-node graph:")
    for engine in report.engines:
        name = " ".join(filter(None, (engine.backend, engine.version, engine.provider)))
        sink.say(f"  {name}: {'works' if engine.works else f'does not work: {engine.reason}'}")
    if report.providers:
        sink.say(f"  onnxruntime's providers: {', '.join(report.providers)}")
        for package, providers in PROVIDER_PACKAGES.items():
            if not set(providers) & set(report.providers):
                sink.say(f"  {package} would bring {', '.join(providers)}")
    sink.say()
    _show_export(sink, report)
    for advice in report.advice:
        sink.say(f"missing: {advice.missing}; {advice.command}")
    if not report.can_sample:
        sink.say("no engine works here: genx cannot sample on this machine")
    else:
        start = "export SOURCE -o NAME.genx" if report.can_export else "verify NAME.genx"
        sink.say(f"next: genx {start}")
    sink.finish(
        {**asdict(report), "can_sample": report.can_sample, "can_export": report.can_export}
    )
    if not report.can_sample:
        raise typer.Exit(1)


def _show_machine(sink: Sink, machine: Machine) -> None:
    from genx_runtimes.processor import INSTRUCTION_SETS

    limits = [f"{machine.logical_cpus} CPUs, {machine.allowed_cpus} allowed"]
    limits += [f"quota {machine.quota_cores:g}"] if machine.quota_cores is not None else []
    sets = machine.instruction_sets
    lines = [
        ("system", f"{machine.os}, {machine.arch}"),
        ("board", machine.board),
        ("CPU", machine.cpu),
        ("cores", f"{machine.usable_cores} usable ({', '.join(limits)})"),
        (
            "has",
            "unknown instruction sets"
            if sets is None
            else ", ".join(INSTRUCTION_SETS[name] for name in sets) or "no vector extensions",
        ),
        ("memory", _tell_memory(machine)),
        *[("GPU", _tell_gpu(gpu)) for gpu in machine.gpus],
        ("GPU", machine.gpu_note),
    ]
    for name, text in lines:
        if text:
            sink.say(f"  {name:<8}{text}")


def _show_export(sink: Sink, report: DoctorReport) -> None:
    found = [f"{p.name} {p.version}" for p in report.export_packages if p.version is not None]
    sink.say(f"export: {', '.join(found) or 'not installed'}")


def _tell_memory(machine: Machine) -> str:
    if machine.memory_bytes is None:
        return "unknown"
    free = machine.available_bytes
    return f"{machine.memory_bytes / 2**30:.1f} GiB" + (
        f", {free / 2**30:.1f} GiB available" if free is not None else ""
    )


def _tell_gpu(gpu: Gpu) -> str:
    parts = [gpu.name]
    parts += [f"{gpu.memory_mib / 1024:.1f} GiB"] if gpu.memory_mib is not None else []
    parts += [f"compute capability {gpu.compute_capability}"] if gpu.compute_capability else []
    parts += [f"driver {gpu.driver}"] if gpu.driver else []
    return ", ".join(parts)
