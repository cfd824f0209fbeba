"""The JSON schema of a report, docs/bench-schema.json: `python -m genx_runtimes.bench.schema`."""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from typing import Any

import msgspec

from genx_runtimes.bench.record import BenchReport

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_schema() -> str:
    """Return the schema of what `encode_report` writes, as indented JSON.

    Source: JSON Schema, draft 2020-12.
    """
    schema = _clean(msgspec.json.schema(BenchReport))
    title = "genx-bench 1: the report of genx bench"
    return json.dumps({"$schema": DIALECT, "title": title, **schema}, indent=2) + "\n"


def _clean(schema: Any) -> Any:
    """Return a schema whose descriptions are indented alike on every Python: 3.13 does it."""
    if isinstance(schema, list):
        return [_clean(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: cleandoc(value) if name == "description" and isinstance(value, str) else _clean(value)
        for name, value in schema.items()
    }


if __name__ == "__main__":
    sys.stdout.write(make_schema())
