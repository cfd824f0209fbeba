"""What the page holds, without a browser; tests/browser opens it in one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.figures import GraphLimit
from genx_runtimes.bench.page import make_page
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.numbers import align, scale_si, shorten
from genx_runtimes.bench.page.scale import Scale, fit_scale
from genx_runtimes.bench.record import BenchReport, encode_report

_VOID = {"meta", "br"}


class _Reader(HTMLParser):
    """Keeps what is in each element, and makes sure that all are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_markup_is_escaped_once() -> None:
    inner = element("b", "a < b & c", title='"x" & <y>', data_x=0.1, y=0, hidden=True, lang=None)
    assert inner == (
        '<b title="&quot;x&quot; &amp; &lt;y&gt;" data-x="0.1" y="0" hidden>a &lt; b &amp; c</b>'
    )
    assert element("p", inner, "<") == f"<p>{inner}&lt;</p>"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert isinstance(join(("<", Markup("<br>"))), Markup)
    assert join(("<", Markup("<br>"))) == "&lt;<br>"


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0.0, 1000.0, False, [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]),
        (40.2, 41.4, False, [40.25, 40.5, 40.75, 41.0, 41.25]),
        (1.0, 1000.0, True, [1.0, 10.0, 100.0, 1000.0]),
        (0.9, 31.0, True, [1.0, 3.0, 10.0, 30.0]),
        (2.0, 20.0, True, [2.0, 5.0, 10.0, 20.0]),
        (1.1, 1.6, True, [1.1, 1.2, 1.3, 1.4, 1.5, 1.6]),
        (1e-3, 1e9, True, [1e-3, 1e0, 1e3, 1e6, 1e9]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, log: bool, ticks: list[float]) -> None:
    scale = Scale(low=low, high=high, start=0, end=100, log=log)
    assert scale.ticks() == ticks
    places = [scale.place(tick) for tick in scale.ticks()]
    assert places == sorted(places)
    assert min(places) >= -1e-6
    assert max(places) <= 100 + 1e-6


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [1e-6, 1e6], [5.0, 5.01]])
def test_a_scale_holds_all_its_values(values: list[float], log: bool) -> None:
    scale = fit_scale(values, start=300, end=20, log=log)
    assert all(20 <= scale.place(value) <= 300 for value in values)
    assert len(scale.ticks()) >= 2


def test_numbers() -> None:
    assert align([0.8512, None, 12.0]) == ["0.851", "–", "12.000"]
    assert align([1234.5, 200.0]) == ["1,234", "200"]
    assert align([]) == []
    assert (shorten(0.05), shorten(2000), shorten(2.5e9)) == ("0.05", "2k", "2.5G")
    assert (scale_si(41.27e9, "MAC/s"), scale_si(999.7e3, "B")) == ("41.3 GMAC/s", "1 MB")


def test_the_page_lets_nothing_in_and_holds_the_report() -> None:
    report = make_report(noisy=True)
    page = make_page([report])
    found = _Reader(page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = (a["content"] for t, a in found.seen if "http-equiv" in a)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    for tag, attributes in found.seen:
        assert not {"src", "style", "srcset"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert (attributes.get("href") or "#").startswith(("#", "data:application/json;base64,"))
    assert "http://" not in style
    assert "https://" not in style
    assert "@import" not in style
    assert "url(" not in style
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert json.loads(data) == json.loads(encode_report(report))
    (link,) = (a["href"] for _, a in found.seen if "download" in a)
    assert base64.b64decode((link or "").partition(",")[2]) == encode_report(report)


def test_everything_has_its_words() -> None:
    found = _Reader(make_page([make_report(noisy=True)]))
    plots = [attributes for tag, attributes in found.seen if "data-plot" in attributes]
    assert {plot["data-plot"] for plot in plots} == {"cdf", "batches", "pareto", "roofline"}
    assert all(plot["role"] == "img" and len(plot["aria-label"] or "") > 40 for plot in plots)
    tags = [tag for tag, _ in found.seen]
    assert tags.count("table") == tags.count("caption")
    assert tags.count("h1") == 1
    for text in (
        "there is no NVIDIA GPU here: libcuda.so.1 cannot be opened",
        "What to know of 12 of 42 rows",
        "threads waited 12 % of the time",
        "energy is not available: /sys/class/powercap cannot be read",
        "AMD EPYC 9354",
        "ConvTranspose_0 takes 34.0 %",
        "RAPL package-0",
        "the CPU has no products of this type",
        "one call draws the latents",
        "3f3f3f",
        "1.31.1",
        "2.55 × torch",
    ):
        assert text in found.text


def test_the_graphs_of_a_loop_and_why_there_are_no_nodes() -> None:
    report = make_report(scenarios=("single-stream",))
    (row, *_) = report.rows
    assert row.limit is not None
    graphs = tuple(
        GraphLimit(component=name, calls=n, ms=1.5, macs=10**9, ceiling="compute", of_limit=0.25)
        for name, n in (("denoiser", 20), ("decoder", 1))
    )
    reason = "this backend does not tell what each node took"
    limit = msgspec.structs.replace(row.limit, graphs=graphs, nodes=(), reason=reason)
    rows = (msgspec.structs.replace(row, limit=limit),)
    found = _Reader(make_page([msgspec.structs.replace(report, rows=rows)]))
    for text in ("How near each graph of a loop is", "denoiser", "decoder", "25.0 %", reason):
        assert text in found.text


def test_a_report_with_nothing_in_it() -> None:
    report = make_report(scenarios=())
    found = _Reader(make_page([msgspec.structs.replace(report, complete=False, ceilings=())]))
    assert "The benchmark was interrupted" in found.text
    assert "SHA-256" in found.text


def test_rows_that_all_failed_and_one_that_says_little() -> None:
    report = make_report(scenarios=("offline",))
    failed = tuple(row for row in report.rows if row.verdict == "failed")
    found = _Reader(make_page([msgspec.structs.replace(report, rows=failed)]))
    assert "Nothing could be measured." in found.text
    bare = msgspec.structs.replace(
        report.rows[0], histogram=None, limit=None, parts=None, metric=None, energy=None, cold=None
    )
    found = _Reader(make_page([msgspec.structs.replace(report, rows=(bare,))]))
    assert {a.get("data-plot") for _, a in found.seen} == {None, "batches"}


@pytest.mark.parametrize("bad", [0.0, -3.0])
def test_figures_that_cannot_be_are_not_drawn(bad: float) -> None:
    def spoil(report: BenchReport) -> BenchReport:
        (row, *_) = report.rows
        assert row.latency is not None
        assert row.limit is not None
        latency = msgspec.structs.replace(row.latency, p50_ms=bad, p90_ms=bad)
        limit = msgspec.structs.replace(row.limit, macs_per_s=bad)
        row = msgspec.structs.replace(row, latency=latency, limit=limit, samples_per_s=bad)
        return msgspec.structs.replace(report, rows=(row,))

    found = _Reader(make_page([spoil(make_report())]))
    assert {a.get("data-plot") for _, a in found.seen} == {None, "cdf"}


def test_several_reports_are_compared_and_told_apart() -> None:
    reports = [make_report(), make_report(seed=1, slower=2.0, digest="00" * 32)]
    found = _Reader(make_page(reports, ("desktop", "jetson")))
    assert "Different bundle. dcgan is not the same in all reports" in found.text
    assert "onnxruntime fp32 · jetson" in found.text
    assert "The machine of jetson" in found.text
    assert len([a for _, a in found.seen if "download" in a]) == 2
    assert "Comparison" not in _Reader(make_page([reports[0]])).text
