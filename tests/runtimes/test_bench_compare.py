from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.compare import (
    Comparison,
    compare_reports,
    divide_medians,
    parse_percentage,
    read_report,
)
from genx_runtimes.bench.figures import Interval
from genx_runtimes.bench.record import BenchReport, Row, encode_report
from genx_runtimes.errors import InputError


def _row(p50: float, low: float, high: float) -> Row:
    row = make_report(scenarios=("single-stream",)).rows[0]
    assert row.latency is not None
    interval = Interval(low=low, high=high)
    return msgspec.structs.replace(
        row, latency=msgspec.structs.replace(row.latency, p50_ms=p50, p50_interval=interval)
    )


def _with(report: BenchReport, *rows: Row) -> BenchReport:
    return msgspec.structs.replace(report, rows=rows)


def _compare(first: Row | None, other: Row | None) -> Comparison:
    report = make_report()
    reports = [_with(report, *([row] if row else [])) for row in (first, other)]
    return compare_reports(reports, ("a", "b"))


def test_the_interval_holds_95_times_of_100() -> None:
    rng = np.random.default_rng(7)
    truth, trials, hits = 1.3, 4000, 0
    for first, other in zip(
        rng.normal(math.log(2.0), 0.03, trials),
        rng.normal(math.log(2.6), 0.01, trials),
        strict=True,
    ):
        # The interval of each median, as its own error would give it.
        rows = [
            _row(math.exp(m), math.exp(m - 1.96 * sigma), math.exp(m + 1.96 * sigma))
            for m, sigma in ((other, 0.01), (first, 0.03))
        ]
        divided = divide_medians(rows[0], rows[1])
        assert divided is not None
        ratio, interval = divided
        assert interval.low < ratio < interval.high
        hits += interval.low <= truth <= interval.high
    assert 0.94 < hits / trials < 0.96


def test_each_side_takes_the_ends_that_matter() -> None:
    divided = divide_medians(_row(10.0, 9.0, 10.0), _row(5.0, 5.0, 6.0))
    assert divided is not None
    ratio, interval = divided
    assert ratio == pytest.approx(2.0)
    assert interval.high == pytest.approx(2.0)  # neither end goes that way
    below = math.hypot(math.log(10 / 9), math.log(6 / 5))
    assert interval.low == pytest.approx(2.0 * math.exp(-below))


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_no_ratio_of_what_cannot_be_a_time(bad: float) -> None:
    assert divide_medians(_row(1.0, bad, 2.0), _row(1.0, 1.0, 1.0)) is None


def test_rows_are_matched_by_case_whatever_their_order() -> None:
    first = make_report()
    other = make_report(seed=1, slower=2.0)
    other = _with(other, *reversed(other.rows))
    comparison = compare_reports([first, other], ("a", "b"))
    assert len(comparison.lines) == len(first.rows)
    for line in comparison.lines:
        one, two = line.cells
        assert (one.ratio, one.interval, one.metric_ratio) == (None, None, None)
        if line.contender == "tensorrt fp16":
            assert (two.verdict, two.ratio) == ("failed", None)
            continue
        assert two.ratio == pytest.approx(2.0, rel=0.05)
        assert one.metric is not None
        assert two.metric is not None
        if None in (one.metric.value, two.metric.value):  # too few calls for a p90
            assert two.metric_ratio is None
        else:
            wanted = 0.5 if line.scenario == "offline" else 2.0
            assert two.metric_ratio == pytest.approx(wanted, rel=0.08)


def test_what_only_one_report_has() -> None:
    row = _row(1.0, 0.9, 1.1)
    (line,) = _compare(None, row).lines
    assert (line.cells[0].verdict, line.cells[1].ratio) == (None, None)
    (line,) = _compare(row, None).lines
    assert (line.cells[0].p50_ms, line.cells[1].verdict) == (1.0, None)


def test_medians_of_the_server_scenario_are_not_compared() -> None:
    row = msgspec.structs.replace(_row(1.0, 0.9, 1.1), scenario="server")
    (line,) = _compare(row, row).lines
    assert (line.cells[1].ratio, line.cells[1].metric_ratio) == (None, 1.0)


@pytest.mark.parametrize(
    ("low", "p50", "high", "slower"),
    [
        (1.09, 1.1, 1.11, True),
        (1.03, 1.04, 1.05, False),  # certain, but not by more than 5 %
        (0.9, 1.1, 1.4, False),  # more than 5 %, but not certain
        (0.5, 0.6, 0.7, False),  # faster
    ],
)
def test_slower_is_both_more_than_the_limit_and_certain(
    low: float, p50: float, high: float, slower: bool
) -> None:
    found = _compare(_row(1.0, 0.995, 1.005), _row(p50, low, high)).regressions(0.05)
    assert len(found) == slower
    if slower:
        assert "1.100 x as slow in b" in found[0]
        assert "onnxruntime fp32, batch 1, single-stream" in found[0]


def test_noise_is_told_beside_what_is_slower() -> None:
    noisy = msgspec.structs.replace(_row(2.0, 1.9, 2.1), verdict="noisy")
    (found,) = _compare(_row(1.0, 0.9, 1.1), noisy).regressions(0.05)
    assert found.endswith("(noisy)")


def test_a_contender_that_fails_only_later_is_a_regression() -> None:
    report = make_report()
    fine, failed = report.rows[0], report.rows[-1]
    broken = msgspec.structs.replace(
        failed, contender=fine.contender, batch=fine.batch, scenario=fine.scenario
    )
    other = report.rows[1]
    reports = [_with(report, fine, other), _with(report, broken, other)]
    (found,) = compare_reports(reports, ("a", "b")).regressions(0.05)
    assert found.endswith("failed in b")
    reports.reverse()
    assert compare_reports(reports, ("a", "b")).regressions(0.05) == ()


def test_nothing_in_common_is_no_pass() -> None:
    reports = [make_report(), make_report(bundle="other")]
    with pytest.raises(InputError, match="a, b have no measured case in common"):
        compare_reports(reports, ("a", "b")).regressions(0.05)


def test_the_same_bundle_or_not() -> None:
    first = make_report()
    assert compare_reports([first, make_report(seed=1)], ("a", "b")).same_bundles
    other = make_report(digest="00" * 32)
    (bundle,) = compare_reports([first, other], ("a", "b")).bundles
    assert (bundle.name, bundle.same) == ("dcgan", False)
    alone = compare_reports([first, make_report(bundle="vae")], ("a", "b"))
    assert [b.digests.count(None) for b in alone.bundles] == [1, 1]
    assert alone.same_bundles  # nothing that differs, and nothing in common


def test_two_rows_for_a_case_are_refused() -> None:
    report = make_report()
    twice = _with(report, report.rows[0], report.rows[0])
    with pytest.raises(InputError, match="b has two rows of onnxruntime fp32, batch 1"):
        compare_reports([report, twice], ("a", "b"))


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), (" 2.5 % ", 0.025), ("0%", 0.0)])
def test_percentages(text: str, share: float) -> None:
    assert parse_percentage(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "0.05", "-5%", "five%", "%", "", "inf%", "1e3%", "5%%"])
def test_what_is_no_percentage(text: str) -> None:
    with pytest.raises(InputError, match="is no percentage") as caught:
        parse_percentage(text)
    assert caught.value.fix == "--fail-over 5%"


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = make_report()
    path.write_bytes(encode_report(report))
    assert read_report(path) == report


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "other"}', "\udcff"])
def test_a_file_that_is_no_report_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="json: this is no report of genx bench"):
        read_report(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none.json: No such file"):
        read_report(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot read"):
        read_report(tmp_path)
