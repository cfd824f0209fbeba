from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.runtimes.bench_reports import make_report

from genx_runtimes.bench.record import decode_report, encode_report
from genx_runtimes.bench.schema import DIALECT, make_schema

WRITTEN = Path(__file__).parents[2] / "docs" / "bench-schema.json"


def _validate(report: object) -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator
    schema = json.loads(WRITTEN.read_bytes())
    validator.check_schema(schema)
    validator(schema).validate(report)


def test_the_published_schema_is_current() -> None:
    assert WRITTEN.read_text("utf-8") == make_schema(), "docs/bench-schema.json: run `make docs`"
    assert json.loads(make_schema())["$schema"] == DIALECT


@pytest.mark.parametrize("noisy", [False, True])
def test_reports_keep_to_the_schema(noisy: bool) -> None:
    _validate(json.loads(encode_report(make_report(noisy=noisy))))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "other"),
        (("format_version",), 2),
        (("rows", 0, "verdict"), "good"),
        (("rows", 0, "latency", "p50_ms"), "3.1"),
        (("rows", 0, "scenario"), "multistream"),
        (("device", "usable_cores"), None),
    ],
)
def test_what_does_not_keep_to_it(path: tuple[str | int, ...], value: object) -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    report: Any = json.loads(encode_report(make_report()))
    inner = report
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        _validate(report)


def test_a_report_reads_back_the_same() -> None:
    report = make_report()
    assert decode_report(encode_report(report)) == report
