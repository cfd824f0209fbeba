"""Whether there is memory for a build where CPU and GPU share it, told before it is killed.

The estimate is a rule of thumb: CUDA and TensorRT's libraries, the weights in the graph, the
network and the plan, and the scratch memory that was asked for. Not yet measured on a Jetson.
"""

from __future__ import annotations

from pathlib import Path

from genx_runtimes.engines.settings import BuildSettings
from genx_runtimes.errors import BackendError
from genx_runtimes.memory import read_free_bytes
from genx_runtimes.system_files import read_text

_LIBRARIES = 2**30
_COPIES = 4
_MIB = 2**20


def estimate_build_bytes(model_bytes: int, settings: BuildSettings) -> int:
    """Return the memory that a build may take at most, in bytes."""
    return _LIBRARIES + _COPIES * model_bytes + (settings.workspace_mb or 0) * _MIB


def check_memory(model_bytes: int, settings: BuildSettings, root: Path = Path("/")) -> None:
    """Raise unless a Jetson has the memory for a build; other machines are not asked.

    Args:
        model_bytes: size of the graph.
        settings: how it is built.
        root: where `proc/` and `etc/` are found; another folder in tests.

    Raises:
        BackendError: what is free, what is wanted, and what to close or lower.
    """
    if not read_text(root / "etc/nv_tegra_release"):
        return
    free, wanted = read_free_bytes(root), estimate_build_bytes(model_bytes, settings)
    if free is None or free >= wanted:
        return
    lower = ", or lower --workspace-mb" if settings.workspace_mb else ""
    raise BackendError(
        f"building may take {wanted / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free, swap "
        f"included",
        fix="close the desktop (sudo systemctl isolate multi-user.target), add swap"
        + lower
        + ", or go on all the same with --no-memory-check",
    )
