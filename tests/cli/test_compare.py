from __future__ import annotations

import json
import shlex
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Run, list_files
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.record import BenchReport, encode_report


def _write(folder: Path, **reports: BenchReport) -> None:
    for name, report in reports.items():
        (folder / f"{name}.json").write_bytes(encode_report(report))


@pytest.fixture
def reports(tmp_path: Path) -> None:
    """a.json, and b.json: 1.5 x as slow, batch 16 noisy."""
    _write(tmp_path, a=make_report(), b=make_report(seed=1, slower=1.5, noisy=True))


@pytest.mark.usefixtures("reports")
def test_for_people(genx: Run) -> None:
    done = genx("compare", "a.json", "b.json")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "a: AMD EPYC 9354 32-Core Processor, 2 cores; 2026-03-02T10:20:30+00:00, valid" in lines
    assert "  dcgan: the same bundle" in lines
    (head,) = (line.split() for line in lines if line.split()[:1] == ["case"])
    assert head == ["case", "batch", "scenario", "a", "ms", "b", "ms", "ratio", "95", "%", "metric"]
    rows = [line for line in lines if "openvino int8" in line and "single-stream" in line]
    assert len(rows) == 3
    assert [" ? " in row for row in rows] == [False, False, True]
    assert " 1.5" in rows[0]
    assert "  ? noisy or unstable: the machine was disturbed, or never settled" in lines
    assert any("tensorrt fp16" in line and line.count("failed") == 2 for line in lines)
    assert lines[-1] == "next: genx compare a.json b.json --html compare.html"


@pytest.mark.usefixtures("reports")
def test_what_is_suggested_runs(genx: Run, tmp_path: Path) -> None:
    for expected in ("--html compare.html", "--fail-over 5%"):
        more = () if "html" in expected else ("--html", "c.html")
        done = genx("compare", "a.json", "b.json", *more)
        (line,) = (x for x in done.out.splitlines() if x.startswith("next: "))
        assert line.endswith(expected)
        following = genx(*shlex.split(line.removeprefix("next: "))[1:])
        assert following.code == (0 if "html" in expected else 1)
    assert {"compare.html", "c.html"} <= list_files(tmp_path)
    done = genx("compare", "a.json", "a.json", "--html", "d.html", "--fail-over", "5%")
    assert done.out.endswith("next: genx compare a.json a.json --json -\n")


@pytest.mark.usefixtures("reports")
def test_for_machines(genx: Run) -> None:
    done = genx("compare", "a.json", "b.json", "--json", "-", "--fail-over", "5%")
    assert (done.code, done.err) == (1, "")
    found = json.loads(done.out)
    assert (found["names"], found["same_bundles"]) == (["a", "b"], True)
    assert len(found["slower"]) == 36
    line = found["lines"][0]
    assert (line["contender"], line["batch"]) == ("onnxruntime fp32", 1)
    cell = line["cells"][1]
    assert cell["interval"]["low"] < cell["ratio"] < cell["interval"]["high"]
    assert cell["ratio"] == pytest.approx(1.5, rel=0.03)


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize(
    ("limit", "order", "code"),
    [("5%", "ab", 1), ("80%", "ab", 0), ("5%", "ba", 0), ("0%", "aa", 0)],
)
def test_the_exit_code_guards(genx: Run, tmp_path: Path, limit: str, order: str, code: int) -> None:
    (tmp_path / "copy").mkdir()
    _write(tmp_path / "copy", a=make_report(), b=make_report(seed=1, slower=1.5, noisy=True))
    done = genx("compare", f"{order[0]}.json", f"copy/{order[1]}.json", "--fail-over", limit)
    assert done.code == code, done.err
    assert ("warning: slower: dcgan: onnxruntime fp32" in done.err) == bool(code)
    summary = "36 slower by more than 5%" if code else "none is slower"
    assert f"judged 36 ratios: {summary}" in done.out


@pytest.mark.usefixtures("reports")
def test_quiet_says_nothing_and_still_guards(genx: Run) -> None:
    done = genx("compare", "a.json", "b.json", "-q", "--fail-over", "5%")
    assert (done.code, done.out, done.err) == (1, "", "")


def test_a_different_bundle_is_said_and_only_then_fails_when_asked(
    genx: Run, tmp_path: Path
) -> None:
    _write(tmp_path, a=make_report(), b=make_report(digest="00" * 32))
    done = genx("compare", "a.json", "b.json")
    assert done.code == 0
    assert "warning: different bundle: dcgan is not the same in all reports" in done.err
    assert "the same bundle" not in done.out
    assert genx("compare", "a.json", "b.json", "--same-bundle").code == 1
    assert genx("compare", "a.json", "a.json", "--same-bundle").code == 0


def test_what_else_differs_is_warned_of(genx: Run, tmp_path: Path) -> None:
    cut = msgspec.structs.replace(make_report(seed=1), complete=False)
    _write(tmp_path, a=make_report(), b=cut)
    done = genx("compare", "a.json", "b.json", "--html", "page.html")
    said = "b was interrupted: it holds what was measured by then"
    assert (done.code, done.err) == (0, f"warning: {said}\n")
    assert said in (tmp_path / "page.html").read_text("utf-8")


def test_bundles_are_named_where_there_are_several(genx: Run, tmp_path: Path) -> None:
    _write(tmp_path, a=make_report(), b=make_report(bundle="vae"))
    done = genx("compare", "a.json", "b.json")
    assert done.code == 0
    assert "dcgan: onnxruntime fp32" in done.out
    done = genx("compare", "a.json", "b.json", "--fail-over", "5%")
    assert (done.code, done.out) == (2, "")
    assert "have no measured case in common" in done.err


def test_one_page_for_all(genx: Run, tmp_path: Path) -> None:
    _write(tmp_path, a=make_report(), b=make_report(seed=1), c=make_report(seed=2))
    files = ("a.json", "b.json", "c.json")
    done = genx("compare", *files, "--html", "page.html")
    assert done.code == 0, done.err
    assert "wrote page.html" in done.out
    page = (tmp_path / "page.html").read_text("utf-8")
    assert all(f"The machine of {name}" in page for name in "abc")
    done = genx("compare", *files, "--html", "page.html")
    assert (done.code, done.err) == (2, "error: page.html exists already; --force replaces it\n")
    assert genx("compare", *files, "--html", "page.html", "--force").code == 0
    done = genx("compare", *files, "--html", "none/page.html")
    assert done.code == 1
    assert "there is no folder none" in done.err
    assert genx("compare", *files, "--json", "all.json").code == 0
    assert json.loads((tmp_path / "all.json").read_bytes())["names"] == ["a", "b", "c"]


def test_files_of_the_same_name_are_told_apart(genx: Run, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name, report=make_report())
    done = genx("compare", "x/report.json", "y/report.json")
    assert "y/report.json ms" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.json",), "a.json alone: there is nothing to compare it with"),
        (("a.json", "none.json"), "cannot read none.json: No such file"),
        (("a.json", "bad.json"), "bad.json: this is no report of genx bench"),
        (("a.json", "a.json", "--fail-over", "5"), "--fail-over '5' is no percentage"),
        (("a.json", "a.json", "--html", "page.pdf"), "page.pdf ends in '.pdf'"),
        (("a.json", "newer.json"), "newer.json: this report has format version 2, this genx"),
    ],
)
def test_wrong_arguments(
    genx: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    _write(tmp_path, a=make_report())
    (tmp_path / "bad.json").write_text("{}")
    newer = {**msgspec.to_builtins(make_report()), "format_version": 2}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    done = genx("compare", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert len(done.err.splitlines()) == 1
