"""What this machine is: system, CPU, memory, board, GPUs. Read, never guessed.

Source: Linux proc(5) and os-release(5).
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.cpu import count_usable_cores, list_allowed_cpus, read_cpu_quota
from genx_runtimes.jetson import Jetson, read_jetson
from genx_runtimes.nvidia import AskGpus, Gpu, ask_gpus, read_kernel_driver
from genx_runtimes.processor import read_cpu_model, read_instruction_sets
from genx_runtimes.system_files import read_board, read_memory, read_text

_ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was found; None and empty fields are unknown.

    Args:
        os: the operating system's name and version.
        arch: such as "x86_64" or "aarch64".
        python: Python's version.
        board: the board's name where there is a device tree, such as a Jetson's.
        cpu: the CPU's name.
        logical_cpus: hardware threads of the machine.
        allowed_cpus: those that this process may run on (affinity).
        quota_cores: the container's CPU quota in cores; None without one.
        usable_cores: the threads that engines start by default.
        instruction_sets: of `processor.INSTRUCTION_SETS`, those that every core has.
        memory_bytes: physical memory; on a Jetson the GPU's as well.
        available_bytes: memory that can be had without swapping.
        gpus: NVIDIA GPUs.
        gpu_note: why there are none although something of NVIDIA is installed, or what went wrong.
        nvidia_driver: the version that the kernel has loaded; "" without one.
        jetson: what JetPack says of itself; None on other machines.
    """

    os: str
    arch: str
    python: str
    board: str
    cpu: str
    logical_cpus: int
    allowed_cpus: int
    quota_cores: float | None
    usable_cores: int
    instruction_sets: tuple[str, ...] | None
    memory_bytes: int | None
    available_bytes: int | None
    gpus: tuple[Gpu, ...]
    gpu_note: str
    nvidia_driver: str
    jetson: Jetson | None

    @property
    def has_nvidia_gpu(self) -> bool:
        """Whether there is any sign of an NVIDIA GPU."""
        return bool(self.gpus or self.nvidia_driver or self.jetson)


def describe_machine(root: Path = _ROOT, *, ask_gpus: AskGpus = ask_gpus) -> Machine:
    """Look at the machine.

    Args:
        root: where `proc/`, `sys/`, `etc/` and `var/` are found; another folder in tests.
        ask_gpus: returns the GPUs and a note.
    """
    gpus, note = ask_gpus()
    driver, jetson = read_kernel_driver(root), read_jetson(root)
    if driver and not (gpus or note or jetson):
        note = f"driver {driver} is loaded, but nothing can ask it; pip install nvidia-ml-py"
    return Machine(
        os=_read_os(root),
        arch=platform.machine(),
        python=platform.python_version(),
        board=read_board(root),
        cpu=read_cpu_model(root),
        logical_cpus=os.cpu_count() or 1,
        allowed_cpus=len(list_allowed_cpus()),
        quota_cores=read_cpu_quota(root),
        usable_cores=count_usable_cores(root),
        instruction_sets=read_instruction_sets(root),
        memory_bytes=read_memory("MemTotal", root),
        available_bytes=read_memory("MemAvailable", root),
        gpus=gpus,
        gpu_note=note,
        nvidia_driver=driver,
        jetson=jetson,
    )


def _read_os(root: Path) -> str:
    text = read_text(root / "etc/os-release")
    match = re.search(r"""^PRETTY_NAME=(["']?)(.*)\1$""", text, re.MULTILINE)
    return match[2] if match else f"{platform.system()} {platform.release()}"
