"""The options of onnxruntime's execution providers: no silent precision, engines kept.

Source: onnxruntime's documentation of its execution providers: `cudnn_conv_algo_search` and
`use_tf32` (CUDA), `trt_*` (TensorRT), `nv_*` (TensorRT RTX), `ModelFormat` and
`ModelCacheDirectory` (CoreML), `backend_type` and `enable_htp_fp16_precision` (QNN).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from genx_runtimes.cache import cache_folder
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import SessionOptions

TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a provider's options depend on.

    Args:
        model: the serialised ONNX model.
        component: its inputs and outputs.
        options: batch bounds, the batch size that is run most, the precision.
        version: onnxruntime's.
        profile: how the path of its profile begins; empty for none.
    """

    model: bytes
    component: ComponentSpec
    options: SessionOptions
    version: str
    profile: str = ""

    def cache_folder(self, device: str, settings: dict[str, str]) -> str:
        """Return a folder for this graph, onnxruntime and these settings alone.

        Providers name the files in it by names in the graph, not by its weights: two bundles of
        one architecture would load one another's engine. Source: issue 6455 of onnxruntime.
        """
        digest = hashlib.sha256(self.model)
        digest.update(repr((self.version, settings, os.environ.get(TF32_VARIABLE))).encode())
        return str(cache_folder(f"onnxruntime-{device}/{digest.hexdigest()[:32]}"))

    def profiles(self, prefix: str) -> dict[str, str]:
        """Return the shapes to optimise for, `z:1x64,label:1`, or nothing where they are unknown.

        Without them an engine is built again whenever a larger batch comes.
        """
        bounds = None if self.options.origin is None else self.options.origin.bounds
        specs = [s for s in self.component.inputs if any(isinstance(d, str) for d in s.shape)]
        symbols = {d for s in specs for d in s.shape[1:] if isinstance(d, str)}
        if bounds is None or symbols or any(set(s.name) & set(":,") for s in specs):
            return {}
        sizes = {"min": bounds.min, "opt": self.options.batch or bounds.min, "max": bounds.max}
        return {
            f"{prefix}_profile_{which}_shapes": ",".join(
                f"{s.name}:{'x'.join(map(str, (size, *s.shape[1:])))}" for s in specs
            )
            for which, size in sizes.items()
        }


def set_nothing(_: Graph) -> dict[str, str]:
    """Leave everything as onnxruntime has it."""
    return {}


def set_cuda(_: Graph) -> dict[str, str]:
    """Search convolutions by heuristics, and compute float32 in float32."""
    # The default search tries every algorithm for every new shape: seconds at each batch size.
    return {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}


def set_tensorrt(graph: Graph) -> dict[str, str]:
    """Keep engines and timings, build for the bundle's batch sizes in the graph's precision."""
    # The precision of the graph and no other. TensorRT before 11 takes fp16 tensors and Q/DQ pairs
    # only where it is allowed to.
    origin = graph.options.origin
    precision = "fp32" if origin is None else origin.precision
    settings = {
        "trt_fp16_enable": str(precision == "fp16"),
        "trt_int8_enable": str(precision == "int8"),
        **graph.profiles("trt"),
    }
    return {
        **settings,
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": graph.cache_folder("tensorrt", settings),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache_folder("onnxruntime-tensorrt/timing")),
    }


def set_tensorrt_rtx(graph: Graph) -> dict[str, str]:
    """Keep compiled kernels, and build for the bundle's batch sizes."""
    settings = graph.profiles("nv")
    return {**settings, "nv_runtime_cache_path": graph.cache_folder("nv_tensorrt_rtx", settings)}


def set_coreml(graph: Graph) -> dict[str, str]:
    """Keep compiled graphs, in the format that has float32."""
    # The older format, NeuralNetwork, computes in fp16 whatever the graph says.
    settings = {"ModelFormat": "MLProgram"}
    key = {**settings, "batch": str(graph.options.batch)}
    return {**settings, "ModelCacheDirectory": graph.cache_folder("coreml", key)}


def set_qnn(_: Graph) -> dict[str, str]:
    """Run on the neural processor, float32 in float32 or not at all."""
    # By default float32 graphs are computed in fp16.
    return {"backend_type": "htp", "enable_htp_fp16_precision": "0"}
