"""From a model's output to comma-separated values.

Numbers are written with as many digits as give the same number back.

Source: docs/bundle.md, "Output"; RFC 4180 for quoting, with lines that end in a line feed alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.session import Array


def name_columns(output: Array, spec: OutputSpec) -> tuple[str, ...]:
    """Return the names of a sequence's or a table's values: the contract's, or value_0, value_1 ...

    Args:
        output: (B, length, values) of a sequence, (B, values) of a table.
        spec: the contract.

    Raises:
        InputError: the contract is neither, or the array does not fit it.
    """
    shapes = {"sequence": "(B, length, values)", "table": "(B, values)"}
    if spec.kind not in shapes:
        raise InputError(
            f"the output of this bundle is {spec.noun}, neither a sequence nor a table",
            fix="write it as an array: genx sample BUNDLE -o NAME.npy",
        )
    if output.ndim != (3 if spec.kind == "sequence" else 2):
        raise InputError(
            f"a {spec.kind} has shape {shapes[spec.kind]}, this output has {output.shape}"
        )
    values = output.shape[-1]
    if spec.columns and len(spec.columns) != values:
        raise InputError(
            f"the bundle names {len(spec.columns)} columns, its {spec.kind} has {values} values",
            fix="export it again with a name for each value, or write NAME.npy",
        )
    return spec.columns or tuple(f"value_{place}" for place in range(values))


def encode_header(output: Array, spec: OutputSpec) -> bytes:
    """Return the first line of a file; args and errors are those of `name_columns`."""
    places = ("sample", "step") if spec.kind == "sequence" else ()
    return _encode([(*places, *name_columns(output, spec))])


def encode_samples(output: Array, spec: OutputSpec, start: int = 0) -> bytes:
    """Return a line for each row of a table, or for each element of a sequence.

    The latter begins with the number of its sample, and its own.

    Args:
        output: (B, length, values) of a sequence, (B, values) of a table.
        spec: the contract.
        start: the number of the first sample.

    Raises:
        InputError: the contract is neither, or the array does not fit it.
    """
    name_columns(output, spec)
    if spec.kind == "table":
        return _encode(map(_format, output))
    return _encode(
        [str(index), str(step), *_format(element)]
        for index, sequence in enumerate(output, start)
        for step, element in enumerate(sequence)
    )


def _format(values: Array) -> list[str]:
    # A numpy scalar's text is the shortest that reads back as the same number of its own type.
    return [str(value) for value in values]


def _encode(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
