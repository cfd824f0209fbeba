"""The `.npy` format, in parts: np.save would say "5760 requested and 480 written" at a full disk.

Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays", version 1.0.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.lib import format as npy

from genx_runtimes.session import Array


def encode_header(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    """Return what stands before the values of an array in C order."""
    header = io.BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, described)
    return header.getvalue()


def encode_array(array: Array) -> bytes:
    """Return an array as a file."""
    return encode_header(array.shape, array.dtype) + np.ascontiguousarray(array).tobytes()
