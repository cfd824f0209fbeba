"""Where time, memory and energy go, and what the machine did meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.figures import Conditions, Parts
from genx_runtimes.bench.page.entries import Entry, sort_cases
from genx_runtimes.bench.page.markup import Markup, element
from genx_runtimes.bench.page.numbers import (
    UNKNOWN,
    align,
    count_decimals,
    megabytes,
    percent,
    pick,
)
from genx_runtimes.bench.page.row_tables import draw_badge, name_entry
from genx_runtimes.bench.page.tables import Column, draw_table

_PARTS = ("latents", "engine", "host", "pixels")
_WIDTH = 120


def draw_parts(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return the parts of a call, and the cold start."""
    shown, cases = sort_cases(entry for entry in entries if entry.row.parts or entry.row.cold)
    parts = [entry.row.parts for entry in shown]
    colds = [entry.row.cold for entry in shown]
    places = count_decimals(pick(parts, "engine_ms"))
    names = (*_PARTS, "device", "encoding")
    times = {name: align(pick(parts, f"{name}_ms"), places) for name in names}
    titles = {"device": "of it on the GPU, ms", "encoding": "encoding files, ms"}
    order = ("latents", "engine", "device", "host", "pixels", "encoding")
    columns = [
        _name(shown),
        Column(title="one call", cells=[_draw_shares(p) for p in parts], text=True),
        *(Column(title=titles.get(name, f"{name}, ms"), cells=times[name]) for name in order),
        Column(title="step, ms", cells=align([entry.row.step_ms for entry in shown])),
        Column(title="steps", cells=[str(entry.row.steps) for entry in shown]),
        *(
            Column(title=f"{title}, s", cells=align(pick(colds, f"{key}_s")))
            for title, key in (("import", "import"), ("load", "load"), ("first", "first_sample"))
        ),
    ]
    return draw_table(caption, columns, groups=cases)


def draw_memory(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return memory, sizes and energy."""
    shown, cases = sort_cases(entry for entry in entries if entry.row.memory or entry.row.energy)
    memories = [entry.row.memory for entry in shown]
    energies = [entry.row.energy for entry in shown]
    sizes = (
        ("peak resident", "peak_resident"),
        ("on the GPU", "device"),
        ("graphs", "engine"),
        ("bundle", "bundle"),
        ("installed", "installed"),
    )
    columns = [
        _name(shown),
        *(
            Column(title=f"{title}, MB", cells=megabytes(pick(memories, key)))
            for title, key in sizes
        ),
        Column(title="J/sample", cells=align(pick(energies, "joules_per_sample"))),
        Column(title="idle, W", cells=align(pick(energies, "idle_w"), 1)),
        Column(title="busy, W", cells=align(pick(energies, "busy_w"), 1)),
        Column(title="counter", cells=[e.source if e else UNKNOWN for e in energies], text=True),
    ]
    return draw_table(caption, columns, groups=cases)


def draw_conditions(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return what the machine did while timing, and how far the rounds are apart."""
    shown, cases = sort_cases(entry for entry in entries if entry.row.conditions)
    found = [entry.row.conditions or _NOTHING for entry in shown]
    columns = [
        _name(shown),
        Column(title="", cells=[draw_badge(entry.row.verdict) for entry in shown], text=True),
        Column(title="p50 of each round, ms", cells=[_list_rounds(entry) for entry in shown]),
        Column(title="waiting for cores", cells=[percent(c.waiting) for c in found]),
        Column(title="other programs", cells=[percent(c.others) for c in found]),
        Column(title="stolen", cells=[percent(c.stolen) for c in found]),
        Column(title="MHz", cells=[_change(c.mhz_before, c.mhz_after) for c in found]),
        Column(title="°C", cells=[_change(c.celsius_before, c.celsius_after) for c in found]),
        Column(title="throttled", cells=[tell_bool(c.throttled) for c in found], text=True),
    ]
    return draw_table(caption, columns, groups=cases)


_NOTHING = Conditions(
    waiting=None,
    others=None,
    stolen=None,
    mhz_before=None,
    mhz_after=None,
    celsius_before=None,
    celsius_after=None,
    throttled=None,
)


def tell_bool(value: bool | None) -> str:
    """Return yes, no or unknown."""
    return UNKNOWN if value is None else "yes" if value else "no"


def _name(entries: Sequence[Entry]) -> Column:
    return Column(title="contender", cells=[name_entry(entry) for entry in entries], text=True)


def _draw_shares(parts: Parts | None) -> str:
    """Return a bar of a call's parts; each is told in the columns beside it."""
    values = [max(getattr(parts, f"{name}_ms"), 0.0) for name in _PARTS] if parts else []
    whole = sum(values)
    if not whole:
        return UNKNOWN
    pieces, at = [], 0.0
    for name, value in zip(_PARTS, values, strict=True):
        width = value / whole * _WIDTH
        tip = element("title", f"{name} {value / whole:.0%}")
        pieces.append(
            element("rect", tip, class_=name, x=round(at, 2), width=round(width, 2), height=10)
        )
        at += width
    return element("svg", *pieces, viewBox=f"0 0 {_WIDTH} 10", class_="shares", aria_hidden="true")


def _list_rounds(entry: Entry) -> str:
    return "  ".join(align(entry.row.round_p50_ms)) or UNKNOWN


def _change(before: float | None, after: float | None) -> str:
    if before is None and after is None:
        return UNKNOWN
    return " → ".join(align([before, after], 0))
