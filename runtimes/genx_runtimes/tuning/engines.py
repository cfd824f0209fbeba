"""The engines that can be tried here, and the machine that a measurement holds for."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from genx_runtimes.backends import BACKENDS, Backend
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendUnavailableError
from genx_runtimes.processor import read_cpu_model
from genx_runtimes.version import __version__


def list_engines() -> list[Backend]:
    """Return what computes and is installed; without a GPU, what needs none."""
    installed = [b for b in BACKENDS if b.requires and b.is_installed()]
    if any(b.needs_gpu for b in installed) and not _name_gpu():
        installed = [b for b in installed if not b.needs_gpu]
    return installed


def describe_machine() -> str:
    """Return CPU, cores, GPU and the versions of genx and the engines, in one line."""
    parts = [read_cpu_model(), f"{count_usable_cores()} cores"]
    engines = list_engines()
    if any(b.needs_gpu for b in engines):
        parts.append(_name_gpu())
    parts.append(f"genx {__version__}")
    for backend in engines:
        try:
            parts.append(f"{backend.name} {version(backend.requires)}")
        except PackageNotFoundError:  # another distribution of the same module
            parts.append(backend.name)
    return ", ".join(parts)


@lru_cache
def _name_gpu() -> str:
    """Return the GPU's name; "" where there is none."""
    from genx_runtimes.cuda import open_cuda

    try:
        return open_cuda().describe().name
    except BackendUnavailableError:
        return ""
