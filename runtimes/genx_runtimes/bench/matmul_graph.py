"""A chain of matrix products as an ONNX file, written without the onnx package.

Source: onnx.proto of ONNX, whose field numbers are the keys below; Protocol Buffers' encoding: a
key is `field << 3 | type`, type 0 a varint, type 2 bytes with their length in front.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from genx_runtimes.manifest import ComponentSpec, TensorSpec
from genx_runtimes.session import Array

Dtype = Literal["fp32", "fp16", "int8"]

# What a chain takes and gives: an int8 one rounds on the way, as the graphs of a bundle do.
PORTS: dict[Dtype, str] = {"fp32": "float32", "fp16": "float16", "int8": "float32"}
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "float16": 10}
_IR_VERSION, _OPSET = 8, 17
# The activations' rounding: N(0, 1) lies within -4 .. 4.
_STEP, _ZERO = np.float32(1 / 32), np.uint8(128)


def describe_chain(dtype: Dtype, size: int) -> ComponentSpec:
    """Return the ports of `make_chain`: x and y, (batch, size)."""
    shape = ("batch", size)
    return ComponentSpec(
        name="matmuls",
        inputs=(TensorSpec(name="x", dtype=PORTS[dtype], shape=shape, role="data"),),
        outputs=(TensorSpec(name="y", dtype=PORTS[dtype], shape=shape, role="output"),),
    )


def make_chain(dtype: Dtype, size: int, depth: int) -> bytes:
    """Return the file of y = x W W ... W, `depth` products with one constant W (size, size).

    W is random and scaled so that N(0, 1) stays so: no engine finds zeros, infinities or denormals.
    With "int8" each factor goes through QuantizeLinear and DequantizeLinear, the activations as
    uint8 with a zero point, the weights as int8 with one scale for each column.

    Args:
        dtype: of the products.
        size: of the square matrix, 1 or more.
        depth: how many products, 1 or more.
    """
    random = np.random.default_rng(0)
    port = PORTS[dtype]
    nodes, tensors = [], []
    if dtype == "int8":
        parts: dict[str, Array] = {
            "w8": random.integers(-127, 128, (size, size), dtype=np.int8),
            "s": np.full(size, np.sqrt(3 / size) / 127, np.float32),
            "z": np.zeros(size, np.int8),
            "step": np.array(_STEP),
            "zero": np.array(_ZERO),
        }
        tensors = [_tensor(name, array) for name, array in parts.items()]
        nodes.append(_node("DequantizeLinear", ("w8", "s", "z"), "w"))
    else:
        weights = random.standard_normal((size, size), dtype=np.float32) / np.float32(np.sqrt(size))
        tensors = [_tensor("w", weights.astype(port))]
    value = "x"
    for step in range(1, depth + 1):
        if dtype == "int8":
            nodes.append(_node("QuantizeLinear", (value, "step", "zero"), f"q{step}"))
            nodes.append(_node("DequantizeLinear", (f"q{step}", "step", "zero"), f"d{step}"))
            value = f"d{step}"
        result = "y" if step == depth else f"p{step}"
        nodes.append(_node("MatMul", (value, "w"), result))
        value = result
    graph = b"".join(
        (
            *(_bytes(1, node) for node in nodes),
            _bytes(2, b"matmuls"),
            *(_bytes(5, tensor) for tensor in tensors),
            _bytes(11, _port("x", port, size)),
            _bytes(12, _port("y", port, size)),
        )
    )
    opset = _bytes(8, _number(2, _OPSET))
    return _number(1, _IR_VERSION) + _bytes(2, b"genx") + _bytes(7, graph) + opset


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, inputs: tuple[str, ...], output: str) -> bytes:
    names = b"".join(_bytes(1, name.encode()) for name in inputs)
    return (
        names + _bytes(2, output.encode()) + _bytes(3, output.encode()) + _bytes(4, kind.encode())
    )


def _tensor(name: str, array: Array) -> bytes:
    dims = b"".join(_number(1, size) for size in array.shape)
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return dims + _number(2, _TYPES[array.dtype.name]) + _bytes(8, name.encode()) + _bytes(9, data)


def _port(name: str, dtype: str, size: int) -> bytes:
    """Return a value (batch, size)."""
    dims = _bytes(1, _bytes(2, b"batch")) + _bytes(1, _number(1, size))
    tensor = _number(1, _TYPES[dtype]) + _bytes(2, dims)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))
