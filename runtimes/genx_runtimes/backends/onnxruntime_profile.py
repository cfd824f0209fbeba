"""Reading the profile that onnxruntime writes: what each node took.

Source: onnxruntime's documentation, "Profiling tools": events in Chrome's trace format, times in
microseconds. The events of a run's nodes come before that of the run, `model_run`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from genx_runtimes.errors import BackendError
from genx_runtimes.session import NodeTime, add_times

_SUFFIX = "_kernel_time"
# What onnxruntime's own passes append to the name of a node, or of its output, that they replace.
_APPENDED = re.compile(r"(_token_\d+|_nchwc|/MatmulTransposeFusion/)+$")
_DTYPES = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "uint8": "int8", "int8": "int8"}


class _Details(msgspec.Struct, frozen=True):
    op_name: str = ""
    input_type_shape: tuple[dict[str, list[int]], ...] = ()


class _Event(msgspec.Struct, frozen=True):
    name: str
    cat: str = ""
    dur: int = 0
    args: _Details = _Details()


def read_profile(data: bytes, skip: int) -> tuple[NodeTime, ...]:
    """Return what each node took over all runs after the first `skip`.

    Args:
        data: the JSON that `end_profiling` names.
        skip: runs that warmed it up.

    Raises:
        BackendError: it is not what this onnxruntime was known to write.
    """
    try:
        events = msgspec.json.decode(data, type=list[_Event])
    except msgspec.MsgspecError as err:
        raise BackendError(f"onnxruntime wrote a profile that cannot be read: {err}") from err
    return add_times(_list_times(events, skip))


def _list_times(events: list[_Event], skip: int) -> Iterator[NodeTime]:
    run = 0
    for event in events:
        run += event.name == "model_run"
        if run < skip or event.cat != "Node" or not event.name.endswith(_SUFFIX):
            continue
        inputs, name = event.args.input_type_shape, event.name.removesuffix(_SUFFIX)
        yield NodeTime(
            name=name,
            kind=event.args.op_name,
            dtype=_DTYPES.get(next(iter(inputs[0])), "") if inputs else "",
            ms=event.dur / 1e3,
            origins=(_APPENDED.sub("", name),),
        )
