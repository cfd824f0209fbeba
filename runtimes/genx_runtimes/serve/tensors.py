"""Tensors of the Open Inference Protocol, as JSON and as raw bytes behind it.

Source: Open Inference Protocol v2, "Tensor Data"; Triton, "Binary tensor data extension": raw
little-endian values in row-major order, BYTES as a 32-bit length before each element.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from genx_runtimes.errors import InputError
from genx_runtimes.serve.oip_requests import InferRequest, InputTensor, OutputRequest
from genx_runtimes.session import Array

_DTYPES: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_MAX_AXES, _MAX_SIZE, _DIGITS = 16, 2**28, 20
_MOST_LETTERS = 2**22  # of all texts of a tensor, each counted as long as the longest
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


def name_datatype(dtype: str) -> str:
    """Return the protocol's name of a numpy dtype, `BYTES` for text."""
    return _NAMES.get(np.dtype(dtype), "BYTES")


def read_request(body: bytes, json_length: str | None) -> tuple[InferRequest, dict[str, Array]]:
    """Return a request and its inputs.

    Args:
        body: JSON, with raw tensors behind it.
        json_length: the header `Inference-Header-Content-Length`; None is all of the body.

    Raises:
        InputError: it is not what the protocol says; the message names the tensor.
    """
    length = len(body)
    if json_length is not None:
        known = json_length.isascii() and json_length.isdecimal() and len(json_length) < _DIGITS
        if not known or int(json_length) > length:
            raise InputError(
                f"Inference-Header-Content-Length is {json_length[:_DIGITS]!r}, the body has "
                f"{length} bytes"
            )
        length = int(json_length)
    try:
        request = msgspec.json.decode(body[:length], type=InferRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as err:
        raise InputError(f"the body is no inference request: {err}") from err
    raw = memoryview(body)[length:]
    arrays: dict[str, Array] = {}
    for tensor in request.inputs:
        if tensor.name in arrays:
            raise InputError(f"input {tensor.name!r} is given twice")
        if len(tensor.shape) > _MAX_AXES or not all(0 <= s < _MAX_SIZE for s in tensor.shape):
            raise InputError(f"input {tensor.name!r} has a shape that no input has")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            arrays[tensor.name] = _from_json(tensor)
            continue
        if type(size) is not int or not 0 <= size <= len(raw):
            raise InputError(f"input {tensor.name!r}: {len(raw)} bytes are left, not {size!r}")
        arrays[tensor.name] = _from_bytes(tensor, raw[:size])
        raw = raw[size:]
    if len(raw):
        raise InputError(f"{len(raw)} bytes behind the last tensor belong to none")
    return request, arrays


def write_answer(
    request: InferRequest, head: Mapping[str, object], outputs: Mapping[str, Array]
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON where tensors are behind it.

    Args:
        request: says which outputs are wanted, and which of them as bytes.
        head: model name, version, id.
        outputs: all that there are, and so all that are wanted; text as arrays of str.

    Raises:
        InputError: JSON does not hold an output.
    """
    wanted = request.outputs or tuple(OutputRequest(name=name) for name in outputs)
    everything = request.parameters.get("binary_data_output", False)
    tensors: list[dict[str, object]] = []
    raw: list[bytes] = []
    for output in wanted:
        array = outputs[output.name]
        tensor: dict[str, object] = {
            "name": output.name,
            "datatype": "BYTES" if array.dtype.kind == "U" else _NAMES[array.dtype],
            "shape": list(array.shape),
        }
        if output.parameters.get("binary_data", everything) is True:
            raw.append(_to_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            if array.dtype == np.float16:
                raise InputError(
                    f"output {output.name!r} is FP16, which JSON does not hold",
                    fix="ask for binary_data",
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InputError(
                    f"output {output.name!r} has NaN or infinity, which JSON does not hold",
                    fix="ask for binary_data",
                )
            tensor["data"] = array.reshape(-1).tolist()
        tensors.append(tensor)
    text = msgspec.json.encode({**head, "outputs": tensors})
    return text + b"".join(raw), len(text) if raw else None


def _from_json(tensor: InputTensor) -> Array:
    if tensor.data is None:
        raise InputError(f"input {tensor.name!r} has no data")
    if tensor.datatype == "BYTES":
        flat = _flatten(tensor)
        if not all(isinstance(item, str) for item in flat):
            raise InputError(f"input {tensor.name!r}: BYTES in JSON are texts")
        return _make_texts(tensor, flat)
    dtype = _find_dtype(tensor)
    if tensor.datatype == "FP16":
        raise InputError(f"input {tensor.name!r}: FP16 is sent as bytes, JSON does not hold it")
    flat = _flatten(tensor)
    kinds: tuple[type, ...] = (int, float) if dtype.kind == "f" else (int,)
    kinds = (bool,) if dtype.kind == "b" else kinds
    if not all(isinstance(v, kinds) and (isinstance(v, bool) == (dtype.kind == "b")) for v in flat):
        raise InputError(f"input {tensor.name!r} holds what is no {tensor.datatype}")
    try:
        with np.errstate(over="raise"):
            return _shape(tensor, np.asarray(flat, dtype=dtype))
    except (OverflowError, FloatingPointError) as err:
        raise InputError(f"input {tensor.name!r} holds what is no {tensor.datatype}") from err


def _from_bytes(tensor: InputTensor, raw: memoryview) -> Array:
    if tensor.datatype != "BYTES":
        dtype = _find_dtype(tensor)
        if len(raw) != dtype.itemsize * math.prod(tensor.shape):
            raise InputError(
                f"input {tensor.name!r} has {len(raw)} bytes, {tensor.datatype} of shape "
                f"{list(tensor.shape)} has {dtype.itemsize * math.prod(tensor.shape)}"
            )
        return np.frombuffer(raw, dtype=dtype).reshape(tensor.shape).copy()
    items: list[str] = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise InputError(f"input {tensor.name!r} ends in the middle of a length")
        (size,) = struct.unpack_from("<I", raw, at)
        if at + 4 + size > len(raw):
            raise InputError(f"input {tensor.name!r} ends in the middle of an element")
        try:
            items.append(bytes(raw[at + 4 : at + 4 + size]).decode())
        except UnicodeDecodeError as err:
            raise InputError(f"input {tensor.name!r} is not UTF-8") from err
        at += 4 + size
    return _make_texts(tensor, items)


def _make_texts(tensor: InputTensor, items: list[str]) -> Array:
    """Return texts as an array, whose every element takes as much memory as the longest."""
    if len(items) * max(map(len, items), default=0) > _MOST_LETTERS:
        raise InputError(f"input {tensor.name!r} has too many texts, or too long ones")
    return _shape(tensor, np.asarray(items, dtype=np.str_))


def _to_bytes(array: Array) -> bytes:
    if array.dtype.kind != "U":
        return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    texts = [str(text).encode() for text in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _find_dtype(tensor: InputTensor) -> np.dtype[Any]:
    code = _DTYPES.get(tensor.datatype)
    if code is None:
        raise InputError(f"input {tensor.name!r}: unknown datatype {tensor.datatype!r}")
    return np.dtype(code)


def _shape(tensor: InputTensor, flat: Array) -> Array:
    if flat.size != math.prod(tensor.shape):
        raise InputError(
            f"input {tensor.name!r} has {flat.size} values, its shape {list(tensor.shape)} asks "
            f"for {math.prod(tensor.shape)}"
        )
    return flat.reshape(tensor.shape)


def _flatten(tensor: InputTensor) -> list[Any]:
    """Return the values of a tensor, which come flat or nested as its shape is."""
    values: list[Any] = tensor.data or []
    for _ in range(_MAX_AXES):
        if not any(isinstance(value, list) for value in values):
            return values
        values = [v for value in values for v in (value if isinstance(value, list) else (value,))]
    raise InputError(f"input {tensor.name!r} is nested deeper than {_MAX_AXES}")
