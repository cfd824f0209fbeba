"""What kind of NVIDIA Jetson this is, what its JetPack brings, and how fast it is set to run.

Source: `/etc/nv_tegra_release`, "# R36 (release), REVISION: 4.3, ...", is L4T 36.4.3; Linux's
device-tree bindings of Tegra, `compatible`; Jetson Linux Developer Guide, "Platform Power and
Performance": nvpmodel keeps its mode in `/var/lib/nvpmodel/status`, `/etc/nvpmodel.conf` names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.clocks import Clock, are_locked, read_cpu_clocks, read_gpu_clocks
from genx_runtimes.system_files import read_board, read_memory, read_text

_ROOT = Path("/")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class JetPack:
    """A release of JetPack and the versions that it brings; empty: not confirmed."""

    version: str
    cuda: str = ""
    tensorrt: str = ""
    python: str = ""


def _list_releases(
    versions: dict[str, str], *, cuda: str = "", tensorrt: str = "", python: str = ""
) -> dict[str, JetPack]:
    return {
        l4t: JetPack(version=version, cuda=cuda, tensorrt=tensorrt, python=python)
        for l4t, version in versions.items()
    }


# By L4T, exactly; what is not here is unknown and not taken for its neighbour. JetPack 6.0 was seen
# with CUDA 12.2 and 12.4, and neither its TensorRT nor that of 6.2.2 is confirmed.
# Source: NVIDIA's "JetPack Archive" and release notes; jetson_stats, `NVIDIA_JETPACK`, for L4T.
JETPACKS: dict[str, JetPack] = {
    **_list_releases(
        {
            "35.2.1": "5.1",
            "35.3.1": "5.1.1",
            "35.4.1": "5.1.2",
            "35.5.0": "5.1.3",
            "35.6.0": "5.1.4",
            "35.6.1": "5.1.5",
            "35.6.2": "5.1.5",
            "35.6.3": "5.1.5",
            "35.6.4": "5.1.6",
        },
        cuda="11.4",
        tensorrt="8.5.2",
        python="3.8",
    ),
    **_list_releases({"36.3.0": "6.0"}, python="3.10"),
    **_list_releases(
        {"36.4.0": "6.1", "36.4.2": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1", "36.4.7": "6.2.1"},
        cuda="12.6",
        tensorrt="10.3",
        python="3.10",
    ),
    **_list_releases({"36.5.0": "6.2.2"}, cuda="12.6", python="3.10"),
    **_list_releases(
        {"38.2.0": "7.0", "38.2.1": "7.0", "38.2.2": "7.0", "38.4.0": "7.1"},
        cuda="13.0",
        tensorrt="10.13",
        python="3.12",
    ),
    **_list_releases(
        {"39.2.0": "7.2", "39.2.1": "7.2.1"}, cuda="13.2", tensorrt="10.16", python="3.12"
    ),
}

# Chip and compute capability by the device tree's "compatible".
# Source: NVIDIA, "CUDA GPU Compute Capability".
_CHIPS = {
    "nvidia,tegra194": ("Xavier", "7.2"),
    "nvidia,tegra234": ("Orin", "8.7"),
    "nvidia,tegra264": ("Thor", "11.0"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Jetson:
    """A Jetson; its memory is shared by CPU and GPU. None and empty fields are unknown.

    Args:
        board: the board's name.
        chip: "Xavier", "Orin" or "Thor".
        compute_capability: of its GPU.
        l4t: the release of Jetson Linux.
        jetpack: the JetPack of that release and what it brings; not what is really installed.
        power_mode_id: nvpmodel's number.
        power_mode: nvpmodel's name for it.
        gpu_clocks: and their limits.
        cpu_clocks: one for each group of cores.
        gpu_locked: whether the GPU's clock is held still, as by `jetson_clocks`.
        cpu_locked: whether the CPU's clocks are.
        swap_bytes: compressed memory (zram) included.
    """

    board: str
    chip: str
    compute_capability: str
    l4t: str
    jetpack: JetPack
    power_mode_id: int | None
    power_mode: str
    gpu_clocks: tuple[Clock, ...]
    cpu_clocks: tuple[Clock, ...]
    gpu_locked: bool | None
    cpu_locked: bool | None
    swap_bytes: int | None


def read_jetson(root: Path = _ROOT) -> Jetson | None:
    """Describe the Jetson, or return None on any other machine.

    Args:
        root: where `proc/`, `sys/`, `etc/` and `var/` are found; another folder in tests.
    """
    board = read_board(root)
    release = read_text(root / "etc/nv_tegra_release")
    compatible = read_text(root / "proc/device-tree/compatible").split("\0")
    chips = [_CHIPS[name] for name in compatible if name in _CHIPS]
    if not (release or chips or "jetson" in board.lower()):
        return None
    chips += [chip for chip in _CHIPS.values() if chip[0].lower() in board.lower()]
    chip, capability = chips[0] if chips else ("", "")
    l4t = re.match(r"# R(\d+) \(release\), REVISION: (\d[\d.]*)", release)
    version = f"{l4t[1]}.{l4t[2]}" if l4t else ""
    mode_id, mode = _read_power_mode(root)
    gpu_clocks, cpu_clocks = read_gpu_clocks(root), read_cpu_clocks(root)
    return Jetson(
        board=board,
        chip=chip,
        compute_capability=capability,
        l4t=version,
        jetpack=JETPACKS.get(version, JetPack(version=UNKNOWN)),
        power_mode_id=mode_id,
        power_mode=mode,
        gpu_clocks=gpu_clocks,
        cpu_clocks=cpu_clocks,
        gpu_locked=are_locked(gpu_clocks),
        cpu_locked=are_locked(cpu_clocks),
        swap_bytes=read_memory("SwapTotal", root),
    )


def _read_power_mode(root: Path) -> tuple[int | None, str]:
    """Return nvpmodel's mode, "pmode:0002", and the name that its configuration gives it."""
    status = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status"))
    if status is None:
        return None, ""
    number = int(status[1])
    names = re.findall(
        r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)",
        read_text(root / "etc/nvpmodel.conf"),
        re.MULTILINE,
    )
    return number, next((name for text, name in names if int(text) == number), "")
