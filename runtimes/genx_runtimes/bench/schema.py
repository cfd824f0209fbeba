"""The JSON schema of a report, docs/bench-schema.json: `python -m genx_runtimes.bench.schema`."""

from __future__ import annotations

import json
import sys

import msgspec

from genx_runtimes.bench.record import BenchReport

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_schema() -> str:
    """Return the schema of what `encode_report` writes, as indented JSON.

    Source: JSON Schema, draft 2020-12.
    """
    schema = msgspec.json.schema(BenchReport)
    title = "genx-bench 1: the report of genx bench"
    return json.dumps({"$schema": DIALECT, "title": title, **schema}, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(make_schema())
