"""What TensorRT-RTX alone has: building for GPUs that are not here, and its runtime's settings.

Source: TensorRT-RTX's Python API, `ComputeCapability`, `IRuntimeConfig`, `IRuntimeCache`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genx_runtimes.errors import InputError


def list_compute_capabilities(trt: Any) -> tuple[str, ...]:
    """Return the GPUs that this TensorRT-RTX builds for, such as "8.6"."""
    names = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    return tuple(f"{n[2:-1]}.{n[-1]}" for n in sorted(names, key=lambda n: int(n[2:])))


def set_compute_capabilities(trt: Any, config: Any, wanted: Sequence[str]) -> None:
    """Build for these GPUs.

    Raises:
        InputError: one that TensorRT-RTX does not build for.
    """
    known = list_compute_capabilities(trt)
    for name in wanted:
        if name not in known:
            raise InputError(
                f"TensorRT-RTX {trt.__version__} does not build for compute capability {name}; it "
                f"does for {', '.join(known)}",
                fix="--target tensorrt on the device itself",
            )
    config.num_compute_capabilities = len(wanted)
    for index, name in enumerate(wanted):
        chosen = getattr(trt.ComputeCapability, f"SM{name.replace('.', '')}")
        if not config.set_compute_capability(chosen, index):
            raise InputError(f"TensorRT-RTX {trt.__version__} refuses compute capability {name}")


def make_runtime_config(trt: Any, engine: Any, cache: bytes, *, graphs: bool) -> tuple[Any, Any]:
    """Return a runtime configuration, and its cache of compiled kernels.

    Args:
        trt: the module.
        engine: the engine.
        cache: of an earlier run; may be empty.
        graphs: whether the runtime replays its work as a CUDA graph.
    """
    settings = engine.create_runtime_config()
    kernels = settings.create_runtime_cache()
    if cache:
        kernels.deserialize(cache)
    settings.set_runtime_cache(kernels)
    strategy = trt.CudaGraphStrategy
    settings.cuda_graph_strategy = strategy.WHOLE_GRAPH_CAPTURE if graphs else strategy.DISABLED
    return settings, kernels
