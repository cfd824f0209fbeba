"""The machine, the method and the versions: what decides whether figures can be compared."""

from __future__ import annotations

from genx_runtimes.bench.page.cost_tables import tell_bool
from genx_runtimes.bench.page.markup import Markup, element
from genx_runtimes.bench.page.tables import draw_pairs
from genx_runtimes.bench.record import BenchReport


def draw_machine(report: BenchReport) -> Markup:
    """Return the fingerprint, the settings, the bundles and the versions of a report."""
    device, settings = report.device, report.settings
    memory = device.memory_bytes
    sets = device.instruction_sets
    fingerprint = draw_pairs(
        (
            ("CPU", device.cpu),
            ("architecture", device.arch),
            ("board", device.board),
            ("cores", f"{device.usable_cores} usable of {device.logical_cpus} logical"),
            ("instruction sets", "unknown" if sets is None else ", ".join(sets) or "none"),
            ("memory", "unknown" if memory is None else f"{memory / 2**30:.1f} GiB"),
            ("system", device.os),
            ("GPU", ", ".join(device.gpus) or "none"),
            ("power mode", device.power_mode),
            ("clocks locked", tell_bool(device.clocks_locked)),
        )
    )
    batches = ", ".join(map(str, settings.batches)) or "each bundle's usual ones"
    method = draw_pairs(
        (
            ("began", report.created),
            ("one call", settings.boundary),
            ("scenarios", ", ".join(settings.scenarios)),
            ("batches", batches),
            ("rounds", f"{settings.rounds}, each case in a process of its own, in turn"),
            (
                "at least",
                f"{settings.min_duration_s:g} s and {settings.min_count:,} calls a case, after a "
                "warm-up",
            ),
            ("latency bound", f"{settings.latency_bound_ms:g} ms, of scenario server"),
            ("seed", str(settings.seed)),
        )
    )
    bundles = draw_pairs(
        (each.name, f"{each.bytes / 1e6:,.2f} MB, SHA-256 {each.digest}") for each in report.bundles
    )
    return element(
        "div",
        _card("Device", fingerprint),
        _card("Method and settings", method),
        _card("Bundles", bundles),
        _card("Versions", draw_pairs(report.versions.items())),
        class_="cards",
    )


def _card(title: str, content: Markup) -> Markup:
    return element("section", element("h4", title), content, class_="card")
