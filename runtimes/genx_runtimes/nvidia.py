"""Which NVIDIA GPUs are here: asked of the driver's own library, NVML, else of nvidia-smi.

NVML answers through pynvml (the package nvidia-ml-py) where that is installed.

Source: NVIDIA Management Library API reference; nvidia-smi(1), `--help-query-gpu`; the README of
NVIDIA's Linux driver, `/proc/driver/nvidia/version`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar, cast

from genx_runtimes.child import run_child
from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_GPU_FIELDS = ("name", "driver_version", "memory.total", "compute_cap")
_GPU_TIMEOUT_S = 10.0
_T = TypeVar("_T")

# What mends an error of NVML, by the name of its class in pynvml.
_FIXES = {
    "NVMLError_LibraryNotFound": "install the NVIDIA driver, if there is such a GPU",
    "NVMLError_DriverNotLoaded": "sudo modprobe nvidia",
    "NVMLError_LibRmVersionMismatch": "restart the machine, so that the new driver is loaded",
    "NVMLError_NoPermission": "ask for access to /dev/nvidia*",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """An NVIDIA GPU; empty fields are unknown.

    Args:
        name: as the driver says.
        driver: the driver's version.
        memory_mib: its own memory in MiB; None if unknown, or shared with the CPU.
        compute_capability: such as "8.7".
    """

    name: str
    driver: str = ""
    memory_mib: int | None = None
    compute_capability: str = ""


class NvmlMemory(Protocol):
    """What NVML says of a GPU's memory, in bytes."""

    @property
    def total(self) -> int:
        """All of it."""
        ...


class Nvml(Protocol):
    """The functions of pynvml that are called; each raises `NVMLError`."""

    @property
    def NVMLError(self) -> type[Exception]: ...  # noqa: N802, D102 - pynvml's names
    def nvmlInit(self) -> None: ...  # noqa: N802, D102
    def nvmlShutdown(self) -> None: ...  # noqa: N802, D102
    def nvmlSystemGetDriverVersion(self) -> str | bytes: ...  # noqa: N802, D102
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802, D102
    def nvmlDeviceGetHandleByIndex(self, index: int) -> object: ...  # noqa: N802, D102
    def nvmlDeviceGetName(self, handle: object) -> str | bytes: ...  # noqa: N802, D102
    def nvmlDeviceGetMemoryInfo(self, handle: object) -> NvmlMemory: ...  # noqa: N802, D102
    def nvmlDeviceGetCudaComputeCapability(  # noqa: N802, D102
        self, handle: object
    ) -> tuple[int, int]: ...
    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int: ...  # noqa: N802, D102


AskGpus = Callable[[], tuple[tuple[Gpu, ...], str]]


def load_nvml() -> Nvml | None:
    """Return pynvml; None where it is not installed."""
    try:
        return cast("Nvml", import_module("pynvml"))
    except ImportError:
        return None


def ask_gpus() -> tuple[tuple[Gpu, ...], str]:
    """Return the GPUs and why there are none; both empty where nothing of NVIDIA is installed."""
    nvml = load_nvml()
    gpus, note = ask_nvml(nvml) if nvml is not None else ((), "")
    if gpus:
        return gpus, note
    others, said = ask_nvidia_smi()
    return others, note or said


def ask_nvml(nvml: Nvml) -> tuple[tuple[Gpu, ...], str]:
    """Return the GPUs that NVML lists, and what went wrong.

    Args:
        nvml: pynvml, or a fake in tests.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as err:
        return (), _explain(err)
    gpus: list[Gpu] = []
    try:
        driver = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
        for index in range(nvml.nvmlDeviceGetCount()):
            gpus.append(_describe_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index), driver))
    except nvml.NVMLError as err:
        return tuple(gpus), f"GPU {len(gpus)}: {_explain(err)}"
    finally:
        _ask(nvml, nvml.nvmlShutdown)
    return tuple(gpus), "" if gpus else "NVML lists no GPU"


def ask_nvidia_smi() -> tuple[tuple[Gpu, ...], str]:
    """Return the GPUs that nvidia-smi lists, and why it lists none; both empty without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), ""
    command = (program, f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader,nounits")
    outcome = run_child(command, timeout_s=_GPU_TIMEOUT_S)
    text = outcome.output.decode(errors="replace")
    if outcome.failure:
        # nvidia-smi explains itself on stdout.
        return (), f"nvidia-smi {text.strip().partition(chr(10))[0] or outcome.failure}"
    gpus = parse_gpus(text)
    return gpus, "" if gpus else "nvidia-smi lists no GPU"


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Parse nvidia-smi's CSV of name, driver version, memory in MiB and compute capability."""
    gpus = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(_GPU_FIELDS):
            continue
        name, driver, memory, capability = ("" if c.startswith("[") else c for c in cells)
        gpus.append(
            Gpu(
                name=name,
                driver=driver,
                memory_mib=int(memory) if memory.isdecimal() else None,
                compute_capability=capability,
            )
        )
    return tuple(gpus)


def read_kernel_driver(root: Path = _ROOT) -> str:
    """Return the version of the NVIDIA driver that the kernel has loaded; "" without one.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    text = read_text(root / "proc/driver/nvidia/version")
    match = re.search(r"^NVRM version:.*Kernel Module(?: for \S+)?\s+(\d[\d.]*)", text)
    return match[1] if match else ""


def _describe_gpu(nvml: Nvml, handle: object, driver: str | bytes | None) -> Gpu:
    """Ask for each property alone: a Jetson's NVML supports only some."""
    memory = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)
    capability = _ask(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return Gpu(
        name=_decode(nvml.nvmlDeviceGetName(handle)),
        driver=_decode(driver or ""),
        memory_mib=None if memory is None else memory // 2**20,
        compute_capability="" if capability is None else ".".join(map(str, capability)),
    )


def _ask(nvml: Nvml, question: Callable[[], _T]) -> _T | None:
    try:
        return question()
    except nvml.NVMLError:
        return None


def _explain(err: Exception) -> str:
    fix = _FIXES.get(type(err).__name__)
    return f"NVML: {err}; {fix}" if fix else f"NVML: {err}"


def _decode(text: str | bytes) -> str:
    """Return the text of what older releases of pynvml give as bytes."""
    return text.decode(errors="replace") if isinstance(text, bytes) else text
