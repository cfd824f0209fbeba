"""YAML of mappings, lists and scalars; strings are quoted as in JSON, which is YAML as well.

Source: yaml.org, "YAML 1.2.2", chapters 7.3.1 and 8.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

Yaml = str | int | bool | Mapping[str, "Yaml"] | Sequence["Yaml"]


def write_yaml(value: Yaml) -> str:
    """Return a document."""
    return "".join(f"{line}\n" for line in _list_lines(value))


def _list_lines(value: Yaml) -> Iterator[str]:
    if _is_short(value):
        yield json.dumps(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if _is_short(item):
                yield f"{key}: {json.dumps(item)}"
            else:
                yield f"{key}:"
                yield from (f"  {line}" for line in _list_lines(item))
    elif isinstance(value, Sequence):
        for item in value:
            first, *rest = _list_lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _is_short(value: Yaml) -> bool:
    return isinstance(value, (str, int)) or not value
