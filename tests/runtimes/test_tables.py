from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.tables import encode_header, encode_samples

TABLE = OutputSpec(name="x", kind="table")
SEQUENCE = OutputSpec(name="x", kind="sequence", columns=("x", "y"))


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_numbers_read_back_as_they_were(values: list[float]) -> None:
    for kind in (np.float32, np.float64):
        array = np.array([values], kind)
        (row,) = read(encode_samples(array, TABLE))
        assert np.array_equal(np.array(row, np.float64).astype(kind), array[0])


def test_no_more_digits_than_needed() -> None:
    assert encode_samples(np.array([[0.1, 1e-8, 3]], np.float32), TABLE) == b"0.1,1e-08,3.0\n"
    assert encode_samples(np.array([[7, -1]]), TABLE) == b"7,-1\n"


def test_sequences_count_samples_and_steps() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    assert encode_header(values, SEQUENCE) == b"sample,step,x,y\n"
    rows = read(encode_samples(values, SEQUENCE, start=5))
    assert rows[0] == ["5", "0", "0.0", "1.0"]
    assert rows[-1] == ["6", "2", "10.0", "11.0"]
    assert len(rows) == 6


def test_headers() -> None:
    values = np.zeros((1, 3))
    assert encode_header(values, TABLE) == b"value_0,value_1,value_2\n"
    odd = OutputSpec(name="x", kind="table", columns=("a,b", 'c"d', "größe"))
    assert read(encode_header(values, odd)) == [["a,b", 'c"d', "größe"]]


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        (SEQUENCE, (1, 4, 3), "names 2 columns, its sequence has 3 values; export it again"),
        (SEQUENCE, (1, 2), r"a sequence has shape \(B, length, values\), this output has \(1, 2\)"),
        (TABLE, (1, 2, 2), r"a table has shape \(B, values\)"),
        (OutputSpec(name="x", kind="tensor"), (1, 2), "is a tensor, neither a sequence nor a tab"),
    ],
)
def test_what_does_not_fit(spec: OutputSpec, shape: tuple[int, ...], message: str) -> None:
    for encode in (encode_header, encode_samples):
        with pytest.raises(InputError, match=message):
            encode(np.zeros(shape), spec)
