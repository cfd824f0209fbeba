"""What this machine is: system, CPU, memory, board, GPUs. Read, never guessed.

Source: Linux proc(5) and os-release(5); nvidia-smi(1), `--help-query-gpu`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.child import run_child
from genx_runtimes.cpu import count_usable_cores, list_allowed_cpus, read_cpu_quota
from genx_runtimes.processor import read_cpu_model, read_instruction_sets
from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_GPU_FIELDS = ("name", "driver_version", "memory.total", "compute_cap")
_GPU_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """An NVIDIA GPU; empty fields are unknown.

    Args:
        name: as nvidia-smi says.
        driver: the driver's version.
        memory_mib: its own memory in MiB; None if unknown, or shared with the CPU.
        compute_capability: such as "8.7".
    """

    name: str
    driver: str = ""
    memory_mib: int | None = None
    compute_capability: str = ""


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
        memory_bytes: physical memory.
        available_bytes: memory that can be had without swapping.
        gpus: NVIDIA GPUs.
        gpu_note: why nvidia-smi, which is there, names none.
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

    @property
    def is_jetson(self) -> bool:
        """Whether the board is an NVIDIA Jetson."""
        return "jetson" in self.board.lower()


AskGpus = Callable[[], tuple[tuple[Gpu, ...], str]]


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


def describe_machine(root: Path = _ROOT, *, ask_gpus: AskGpus = ask_nvidia_smi) -> Machine:
    """Look at the machine.

    Args:
        root: where `proc/`, `sys/` and `etc/` are found; another folder in tests.
        ask_gpus: returns the GPUs and a note.
    """
    gpus, note = ask_gpus()
    return Machine(
        os=_read_os(root),
        arch=platform.machine(),
        python=platform.python_version(),
        board=read_text(root / "proc/device-tree/model").rstrip("\0"),
        cpu=read_cpu_model(root),
        logical_cpus=os.cpu_count() or 1,
        allowed_cpus=len(list_allowed_cpus()),
        quota_cores=read_cpu_quota(root),
        usable_cores=count_usable_cores(root),
        instruction_sets=read_instruction_sets(root),
        memory_bytes=_read_memory(root, "MemTotal"),
        available_bytes=_read_memory(root, "MemAvailable"),
        gpus=gpus,
        gpu_note=note,
    )


def _read_os(root: Path) -> str:
    """Return os-release's name, with the release of JetPack's Linux where there is one."""
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read_text(root / "etc/os-release"), re.MULTILINE)
    name = match[1] if match else f"{platform.system()} {platform.release()}"
    tegra = re.match(
        r"# R(\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release")
    )
    return f"{name}, L4T {tegra[1]}.{tegra[2]}" if tegra else name


def _read_memory(root: Path, name: str) -> int | None:
    match = re.search(rf"^{name}:\s*(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None
