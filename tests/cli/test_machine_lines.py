"""What people are told of a machine."""

from __future__ import annotations

from pathlib import Path

from tests.runtimes.machines import (
    ORIN_AGX,
    ORIN_NANO,
    RTX_4090,
    RTX_DESKTOP,
    THOR,
    Tree,
    no_gpu,
    record,
)

from genx_cli.machine_lines import describe_machine
from genx_runtimes import machine


def tell(root: Path, tree: Tree) -> list[str]:
    found = machine.describe_machine(record(root, tree), ask_gpus=no_gpu)
    return [f"{name}: {text}" for name, text in describe_machine(found)]


def test_orin_nano(tmp_path: Path) -> None:
    lines = tell(tmp_path, ORIN_NANO)
    assert "memory: 7.4 GiB, 5.0 GiB available, shared by CPU and GPU" in lines
    assert lines[-6:] == [
        "Jetson: JetPack 6.2, L4T 36.4.3, Orin, compute capability 8.7",
        "brings: CUDA 12.6, TensorRT 10.3, Python 3.10",
        "power: mode 25W (1)",
        "clocks: GPU 306 to 918 MHz, not locked: sudo jetson_clocks locks them",
        "clocks: CPU 729.6 to 1344 MHz, not locked: sudo jetson_clocks locks them",
        "swap: 3.7 GiB",
    ]


def test_locked_clocks(tmp_path: Path) -> None:
    assert tell(tmp_path, ORIN_AGX)[-4:] == [
        "power: mode MAXN (0)",
        "clocks: GPU 1300.5 MHz, locked",
        "clocks: CPU 2201.6 MHz, locked",
        "swap: 30.7 GiB",
    ]


def test_thor_without_swap(tmp_path: Path) -> None:
    assert tell(tmp_path, THOR)[-1] == "swap: none"


def test_a_jetson_of_which_little_can_be_read(tmp_path: Path) -> None:
    lines = tell(tmp_path, {"proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0"})
    assert lines[-5:] == [
        "Jetson: JetPack unknown, L4T unknown",
        "power: mode unknown",
        "clocks: GPU unknown",
        "clocks: CPU unknown",
        "swap: unknown",
    ]


def test_a_power_mode_without_a_name(tmp_path: Path) -> None:
    lines = tell(tmp_path, {**ORIN_NANO, "etc/nvpmodel.conf": ""})
    assert "power: mode 1" in lines


def test_desktop(tmp_path: Path) -> None:
    root = record(tmp_path, RTX_DESKTOP)
    found = machine.describe_machine(root, ask_gpus=lambda: ((RTX_4090,), "GPU 1: NVML: lost"))
    lines = [f"{name}: {text}" for name, text in describe_machine(found)]
    assert "memory: 62.5 GiB, 57.2 GiB available" in lines
    assert lines[-2:] == [
        "GPU: NVIDIA GeForce RTX 4090, 24.0 GiB, compute capability 8.9, driver 550.54.14",
        "GPU: GPU 1: NVML: lost",
    ]
