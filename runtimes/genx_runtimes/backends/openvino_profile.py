"""Reading OpenVINO's performance counts: what each node took.

Source: OpenVINO's Python API, `InferRequest.profiling_info` and `CompiledModel.get_runtime_model`,
whose nodes name in `originalLayersNames` those that they were fused from.
"""

from __future__ import annotations

import openvino as ov

from genx_runtimes.session import NodeTime

_ORIGINS = "originalLayersNames"
# What OpenVINO calls the product of a layer whose bias it takes apart.
_APART = "/WithoutBiases"
# The end of a kernel's name, such as `brgemm_avx512_i8`.
_DTYPES = {"f32": "fp32", "fp32": "fp32", "f16": "fp16", "fp16": "fp16", "bf16": "bf16"}
_DTYPES |= dict.fromkeys(("i8", "u8"), "int8")


def read_profile(request: ov.InferRequest) -> list[NodeTime]:
    """Return what each node took in the last call; those that were fused took no time."""
    origins = _read_origins(request.get_compiled_model().get_runtime_model())
    return [
        NodeTime(
            name=info.node_name,
            kind=info.node_type,
            dtype=_DTYPES.get(info.exec_type.rpartition("_")[2].lower(), ""),
            ms=info.real_time.total_seconds() * 1e3,
            origins=origins.get(info.node_name, (info.node_name,)),
        )
        for info in request.profiling_info
        if info.status == ov.ProfilingInfo.Status.EXECUTED
    ]


def _read_origins(model: ov.Model) -> dict[str, tuple[str, ...]]:
    """Return the names of the graph's nodes that each node was made from."""
    origins = {}
    for node in model.get_ordered_ops():
        told = node.get_rt_info()
        if _ORIGINS in told:
            names = str(told[_ORIGINS].value).split(",")
            origins[node.get_friendly_name()] = tuple(name.removesuffix(_APART) for name in names)
    return origins
