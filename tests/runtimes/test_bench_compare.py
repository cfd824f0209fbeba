from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.compare import (
    Comparison,
    compare_reports,
    parse_percentage,
)
from genx_runtimes.bench.figures import Interval
from genx_runtimes.bench.record import BenchReport, Row, encode_report, read_report
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
    reports = [
        _with(make_report(seed=seed), *([row] if row else []))
        for seed, row in enumerate((first, other))
    ]
    return compare_reports(reports, ("a", "b"))


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


def test_a_contender_that_is_missing_is_a_regression() -> None:
    first = make_report()
    other = _with(make_report(seed=1), *make_report(seed=1).rows[1:])
    (found,) = compare_reports([first, other], ("a", "b")).regressions(0.05)
    assert found == "dcgan: onnxruntime fp32, batch 1, single-stream: missing in b"
    assert compare_reports([other, first], ("b", "a")).regressions(0.05) == ()


def test_where_all_fails_later_all_is_a_regression() -> None:
    row = _row(1.0, 0.9, 1.1)
    failed = msgspec.structs.replace(row, verdict="failed", latency=None)
    assert len(_compare(row, failed).regressions(0.05)) == 1
    with pytest.raises(InputError, match="every case failed in a"):
        _compare(failed, row).regressions(0.05)


def test_server_alone_cannot_be_judged() -> None:
    row = msgspec.structs.replace(_row(1.0, 0.9, 1.1), scenario="server")
    with pytest.raises(InputError, match="scenario server alone was measured"):
        _compare(row, row).regressions(0.05)


def test_single_rounds_cannot_be_judged() -> None:
    row = _row(1.0, 0.9, 1.1)
    assert row.latency is not None
    latency = msgspec.structs.replace(row.latency, p50_interval=None)
    once = msgspec.structs.replace(row, latency=latency)
    with pytest.raises(InputError, match="a single round does not tell"):
        _compare(once, row).regressions(0.05)


def test_offline_is_judged_by_throughput() -> None:
    """Two instances: each call takes longer, and more samples come out."""
    row = make_report(scenarios=("offline",)).rows[0]
    rates = (100.0, 101.0, 99.0)
    first = msgspec.structs.replace(row, samples_per_s=100.0, round_samples_per_s=rates)
    slower = msgspec.structs.replace(
        first, samples_per_s=50.0, round_samples_per_s=tuple(r / 2 for r in rates)
    )
    (line,) = _compare(first, slower).lines
    assert line.cells[1].ratio == pytest.approx(2.0)
    (found,) = _compare(first, slower).regressions(0.05)
    assert "2.000 x as slow in b" in found


def test_rounds_of_the_same_run_are_divided_in_pairs() -> None:
    report = make_report()
    (row, *_) = report.rows
    first = msgspec.structs.replace(row, round_p50_ms=(1.0, 2.0, 3.0))
    other = msgspec.structs.replace(row, round_p50_ms=(2.0, 4.0, 6.0))
    (line,) = compare_reports([_with(report, first), _with(report, other)], ("a", "b")).lines
    found = line.cells[1]
    assert found.interval is not None
    assert (found.ratio, found.interval.low) == (pytest.approx(2.0), pytest.approx(2.0))


def test_what_else_differs_is_said() -> None:
    scenarios = ("single-stream", "server")
    first, second = make_report(scenarios=scenarios), make_report(seed=1, scenarios=scenarios)
    assert compare_reports([first, second], ("a", "b")).differences == ()
    rows = [
        msgspec.structs.replace(row, threads=1, instances=2 if row.batch == 1 else 1)
        for row in second.rows
    ]
    settings = msgspec.structs.replace(second.settings, latency_bound_ms=20.0)
    other = msgspec.structs.replace(second, rows=tuple(rows), settings=settings, complete=False)
    found = compare_reports([first, other], ("a", "b"))
    interrupted, bounds, threads = found.differences
    assert interrupted == "b was interrupted: it holds what was measured by then"
    assert bounds.startswith("latency bounds differ, 50 ms in a, 20 ms in b")
    assert threads == (
        "threads differ in b, cases: 42, such as dcgan: onnxruntime fp32, batch 1, single-stream: "
        "2 in a, 2 x 1 in b"
    )
    for line in found.lines:
        if line.scenario == "server":
            assert line.cells[1].metric_ratio is None


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


def test_a_report_of_a_newer_genx_is_told_from_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "newer.json"
    path.write_text('{"format": "genx-bench", "format_version": 2, "rows": {}}')
    with pytest.raises(InputError, match="format version 2, this genx reads 1") as caught:
        read_report(path)
    assert caught.value.fix == "pip install --upgrade genx"


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


def test_who_took_turns_and_who_did_not_is_said() -> None:
    alone = make_report(scenarios=("single-stream",)).rows[0]
    turned = msgspec.structs.replace(alone, round_slices_ms=((1.0, 1.1),))
    (told,) = _compare(alone, turned).differences
    assert told.startswith("contenders took turns in b and not in a, cases: 1, such as ")
    (told,) = _compare(turned, alone).differences
    assert told.startswith("contenders took turns in a and not in b")
    assert _compare(turned, turned).differences == ()
