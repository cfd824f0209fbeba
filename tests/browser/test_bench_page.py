"""The page of `genx bench` in headless Chromium: what it plots, that it fits, asks for nothing.

Skipped where Playwright or Chromium is missing; $GENX_CHROMIUM names one that is not on PATH.
`GENX_SCREENSHOTS=FOLDER` keeps the pictures.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.page import make_page

pytestmark = pytest.mark.browser

WIDTHS = (390, 1440)
PLACE = 0.01  # coordinates are written with three decimals


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "one.html"
    path.write_text(make_page([make_report(noisy=True)]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reports = (
        make_report(scenarios=("single-stream", "multi-stream", "offline", "server")),
        make_report(seed=1, slower=3.2, cpu="Cortex-A78AE", digest="ab" * 32),
    )
    path = tmp_path_factory.mktemp("page") / "two.html"
    path.write_text(make_page(reports, ("desktop", "jetson")), encoding="utf-8")
    return path


class Visit:
    """An open page, and what it said and asked for on the way."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = path.as_uri()
        self.page.goto(self.url)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def marks(self, plot: str, kind: str) -> list[dict[str, Any]]:
        """Return each mark's data and path, with the scales of the plot that it lies in."""
        script = """marks => marks.map(mark => ({
            ...mark.dataset, d: mark.querySelector("path").getAttribute("d"),
            at: mark.getAttribute("transform"),
            tip: mark.querySelector("title").textContent,
            axes: {...mark.closest("svg").dataset}}))"""
        found: list[dict[str, Any]] = self.page.eval_on_selector_all(
            f'svg[data-plot="{plot}"] g.{kind}', script
        )
        return found

    def reports(self) -> list[dict[str, Any]]:
        texts = self.page.eval_on_selector_all(
            'script[type="application/json"]', "all => all.map(one => one.textContent)"
        )
        return [json.loads(text) for text in texts]


def _place(axes: dict[str, str], axis: str, value: float) -> float:
    """Return where a value lies, from what the plot says of its axes."""
    low, high = map(float, axes[f"{axis}Domain"].split())
    start, end = map(float, axes[f"{axis}Range"].split())
    if axes[f"{axis}Scale"] == "log":
        low, high, value = math.log10(low), math.log10(high), math.log10(value)
    return start + (value - low) / (high - low) * (end - start)


def _position(mark: dict[str, Any]) -> tuple[float, float]:
    x, y = mark["at"].removeprefix("translate(").removesuffix(")").split()
    return float(x), float(y)


def _row(reports: list[dict[str, Any]], mark: dict[str, Any]) -> dict[str, Any]:
    names = ("bundle", "contender", "scenario")
    (row,) = (
        row
        for row in reports[int(mark["report"])]["rows"]
        if all(row[name] == mark[name] for name in names) and row["batch"] == int(mark["batch"])
    )
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["one", "two"])
def test_it_fits_says_nothing_and_asks_for_nothing(
    chromium: Any,
    name: str,
    width: int,
    scheme: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    path: Path = request.getfixturevalue(name)
    with Visit(chromium, path, width, scheme) as visit:
        page = visit.page
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.eval_on_selector_all(
            "svg[data-plot] text",
            "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])",
        )
        assert boxes
        assert min(left for left, _ in boxes) >= 0
        assert max(right for _, right in boxes) <= width
        picture = (
            Path(os.environ.get("GENX_SCREENSHOTS", tmp_path)) / f"{name}-{width}-{scheme}.png"
        )
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 20_000
        assert visit.said == []
        assert visit.asked == [visit.url]


def test_the_distribution_is_the_histogram(chromium: Any, two: Path) -> None:
    with Visit(chromium, two, 390) as visit:
        reports, lines = visit.reports(), visit.marks("cdf", "line")
        assert len(lines) == sum(row["histogram"] is not None for r in reports for row in r["rows"])
        for line in lines:
            histogram = _row(reports, line)["histogram"]
            assert list(map(int, line["valuesNs"].split())) == histogram["values_ns"]
            assert list(map(int, line["counts"].split())) == histogram["counts"]
            corners = np.array([c.split() for c in line["d"][1:].split("L")], dtype=float)
            share = np.cumsum(histogram["counts"]) / sum(histogram["counts"])
            for (x, y), value, part in zip(
                corners[1::2], histogram["values_ns"], share, strict=True
            ):
                assert abs(x - _place(line["axes"], "x", value / 1e6)) < PLACE
                assert abs(y - _place(line["axes"], "y", part)) < PLACE
        for point in visit.marks("cdf", "point"):
            name = {"0.5": "p50_ms", "0.9": "p90_ms", "0.99": "p99_ms"}[point["share"]]
            _check(point, reports, name, "ms", "x")
            assert (
                abs(_position(point)[1] - _place(point["axes"], "y", float(point["share"]))) < PLACE
            )


def _check(
    mark: dict[str, Any], reports: list[dict[str, Any]], field: str, data: str, axis: str
) -> None:
    """The mark carries the number of the JSON, and lies where its axis has it."""
    row = _row(reports, mark)
    value = row[field] if field in row else row["latency"][field]
    assert float(mark[data]) == value
    assert abs(_position(mark)["xy".index(axis)] - _place(mark["axes"], axis, value)) < PLACE


def test_batches_and_pareto_hold_the_numbers(chromium: Any, two: Path) -> None:
    with Visit(chromium, two, 1440) as visit:
        reports = visit.reports()
        rows = [row for report in reports for row in report["rows"] if row["latency"]]
        points = visit.marks("batches", "point")
        assert len(points) == 2 * len(rows)
        for point in points:
            if "p50Ms" in point:
                _check(point, reports, "p50_ms", "p50Ms", "y")
            else:
                _check(point, reports, "samples_per_s", "samplesPerS", "y")
            assert (
                abs(_position(point)[0] - _place(point["axes"], "x", int(point["batch"]))) < PLACE
            )
        for whisker in visit.marks("batches", "whisker"):
            interval = _row(reports, whisker)["latency"]["p50_interval"]
            assert [float(whisker["low"]), float(whisker["high"])] == list(interval.values())
        points = visit.marks("pareto", "point")
        assert len(points) == len(rows)
        edge = max(_position(point)[0] for point in points)
        for point in points:
            _check(point, reports, "p50_ms", "p50Ms", "y")
            if _row(reports, point)["psnr_db"] is None:
                assert point["psnrDb"] == "exact"
                assert _position(point)[0] == edge
            else:
                _check(point, reports, "psnr_db", "psnrDb", "x")


def test_the_front_is_what_nothing_beats(chromium: Any, one: Path) -> None:
    with Visit(chromium, one, 1440) as visit:
        points = [
            point
            for point in visit.marks("pareto", "point")
            if (point["scenario"], point["batch"]) == ("single-stream", "1")
        ]
    ranked = [
        (float(p["p50Ms"]), math.inf if p["psnrDb"] == "exact" else float(p["psnrDb"]), p["front"])
        for p in points
    ]
    for ms, quality, front in ranked:
        beaten = any(m <= ms and q >= quality and (m, q) != (ms, quality) for m, q, _ in ranked)
        assert front == ("false" if beaten else "true")


def test_the_roofline_holds_rows_and_ceilings(chromium: Any, one: Path) -> None:
    with Visit(chromium, one, 1440) as visit:
        (report,) = reports = visit.reports()
        limited = [row for row in report["rows"] if row["limit"]]
        points = visit.marks("roofline", "point")
        assert len(points) == len(limited)
        for point in points:
            row = _row(reports, point)
            limit, cost = row["limit"], row["limit"]["cost"]
            assert float(point["macsPerS"]) == limit["macs_per_s"]
            x, y = _position(point)
            moved = cost["weight_bytes"] / row["batch"] + cost["io_bytes"]
            intensity = cost["macs"] / moved
            assert abs(x - _place(point["axes"], "x", intensity)) < PLACE
            assert abs(y - _place(point["axes"], "y", limit["macs_per_s"])) < PLACE
        roofs = visit.marks("roofline", "line")
        known = [c for c in report["ceilings"] if c["macs_per_s"] is not None]
        plots = len({row["scenario"] for row in limited})
        assert [float(r["macsPerS"]) for r in roofs] == [c["macs_per_s"] for c in known] * plots
        for roof in roofs:
            corners = [tuple(map(float, c.split())) for c in roof["d"][1:].split("L")]
            level = _place(roof["axes"], "y", float(roof["macsPerS"]))
            ridge = float(roof["macsPerS"]) / float(roof["bytesPerS"])
            assert corners[-1][1] == pytest.approx(level, abs=PLACE)
            assert corners[1] == pytest.approx((_place(roof["axes"], "x", ridge), level), abs=PLACE)


def test_names_from_strangers_are_only_text(chromium: Any, tmp_path: Path) -> None:
    name = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&amp;"
    path = tmp_path / "page.html"
    path.write_text(make_page([make_report(bundle=name, scenarios=("offline",))]), "utf-8")
    with Visit(chromium, path, 390) as visit:
        assert visit.page.inner_text("h1") == name
        assert visit.page.title() == f"genx bench: {name}"
        assert visit.page.evaluate("document.images.length") == 0
        assert visit.reports()[0]["bundles"][0]["name"] == name
        assert (visit.said, visit.asked) == ([], [visit.url])
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_report_can_be_taken_out_again(chromium: Any, one: Path, tmp_path: Path) -> None:
    with Visit(chromium, one, 1440) as visit:
        with visit.page.expect_download() as download:
            visit.page.click("a[download]")
        saved = tmp_path / "report.json"
        download.value.save_as(saved)
        assert json.loads(saved.read_bytes()) == visit.reports()[0]
        assert visit.said == []
