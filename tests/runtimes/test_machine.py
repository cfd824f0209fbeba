"""What is said of each kind of machine: all of it, and what is advised there."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtimes.machines import (
    ORIN_AGX,
    ORIN_NANO,
    RASPBERRY_PI_5,
    RTX_4090,
    RTX_DESKTOP,
    THOR,
    VM,
    XAVIER,
    Tree,
    no_gpu,
    record,
)

from genx_runtimes.advice import Advice, advise
from genx_runtimes.backends import Backend
from genx_runtimes.jetson import read_jetson
from genx_runtimes.machine import Machine, describe_machine
from genx_runtimes.nvidia import AskGpus

# None of these is importable anywhere; TensorRT's names are those that decide the advice.
ENGINES = (
    Backend(name="own", module="x", requires="genx_no_such", install="pip install own", summary=""),
    Backend(
        name="tensorrt", module="x", requires="tensorrt", install="pip install trt", summary=""
    ),
    Backend(
        name="tensorrt-rtx",
        module="x",
        requires="tensorrt_rtx",
        install="pip install rtx",
        summary="",
    ),
)
OWN = Advice(missing="the engine genx_no_such", command="pip install own")
TENSORRT = Advice(missing="the engine tensorrt", command="pip install trt")
RTX = Advice(missing="the engine tensorrt_rtx", command="pip install rtx")
CUDA = Advice(
    missing="an onnxruntime that uses the NVIDIA GPU",
    command="pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
)
ORIN_SETS = ("asimd", "asimdhp", "asimddp")


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what Python itself says of this machine."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.12")
    monkeypatch.setattr(Backend, "is_installed", lambda _: False)


def describe(root: Path, tree: Tree, ask_gpus: AskGpus = no_gpu) -> Machine:
    return describe_machine(record(root, tree), ask_gpus=ask_gpus)


def advise_on(machine: Machine) -> tuple[Advice, ...]:
    return advise(
        machine, backends=ENGINES, providers=("CPUExecutionProvider",), export_packages=()
    )


def jetson_machine(root: Path, **facts: object) -> Machine:
    """Return what all Jetsons have in common here; test_jetson.py looks into `jetson`."""
    common = Machine(
        os="",
        arch="aarch64",
        python="3.10.12",
        board="",
        cpu="Arm Cortex-A78AE",
        logical_cpus=4,
        allowed_cpus=3,
        quota_cores=None,
        usable_cores=3,
        instruction_sets=ORIN_SETS,
        memory_bytes=None,
        available_bytes=None,
        gpus=(),
        gpu_note="",
        nvidia_driver="",
        jetson=read_jetson(root),
    )
    return replace(common, **facts)  # type: ignore[arg-type]


def test_orin_nano(tmp_path: Path) -> None:
    machine = describe(tmp_path, ORIN_NANO)
    assert machine.jetson is not None
    assert machine == jetson_machine(
        tmp_path,
        os="Ubuntu 22.04.5 LTS",
        board="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        memory_bytes=7802992 * 1024,
        available_bytes=5242880 * 1024,
    )
    system = Advice(
        missing="the engine tensorrt",
        command="sudo apt install python3-libnvinfer, then work in what "
        "python3.10 -m venv --system-site-packages makes",
    )
    # TensorRT-RTX is not made for it.
    assert advise_on(machine) == (OWN, system)


def test_orin_agx_with_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    machine = describe(tmp_path, ORIN_AGX)
    assert machine == jetson_machine(
        tmp_path,
        os="Ubuntu 22.04.5 LTS",
        python="3.12.1",
        board="NVIDIA Jetson AGX Orin Developer Kit",
        memory_bytes=64330124 * 1024,
        available_bytes=58720256 * 1024,
    )
    told = advise_on(machine)[1].missing
    assert told == "the engine tensorrt: JetPack 6.2.1 has it for Python 3.10 alone"


def test_xavier_cannot_have_a_python_for_genx_and_tensorrt(tmp_path: Path) -> None:
    machine = describe(tmp_path, XAVIER)
    assert machine == jetson_machine(
        tmp_path,
        os="Ubuntu 20.04.6 LTS",
        board="Jetson-AGX",
        cpu="NVIDIA Carmel",
        instruction_sets=("asimd", "asimdhp"),
        memory_bytes=31819748 * 1024,
        available_bytes=29360128 * 1024,
    )
    too_old = Advice(
        missing="a GPU engine for genx: JetPack 5.1.3 has its TensorRT for Python 3.8, genx needs "
        "3.10 or later",
        command="JetPack 5 is the last for Xavier: with another Python, 3.10 or later, its CPU "
        "runs bundles",
    )
    assert advise_on(machine) == (too_old, OWN)


def test_orin_on_jetpack_5_can_have_a_newer_one(tmp_path: Path) -> None:
    release = {"etc/nv_tegra_release": XAVIER["etc/nv_tegra_release"]}
    machine = describe(tmp_path, {**ORIN_NANO, **release})
    assert advise_on(machine)[0].command == (
        "install JetPack 6 or later, which brings Python 3.10 or later"
    )


def test_thor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.3")
    machine = describe(tmp_path, THOR)
    assert machine == jetson_machine(
        tmp_path,
        os="Ubuntu 24.04.3 LTS",
        python="3.12.3",
        board="NVIDIA Jetson AGX Thor Developer Kit",
        cpu="Arm Neoverse-V3AE",
        instruction_sets=(*ORIN_SETS, "i8mm", "sve"),
        memory_bytes=128790100 * 1024,
        available_bytes=120586240 * 1024,
        nvidia_driver="580.00",
    )
    assert [a.missing for a in advise_on(machine)] == [OWN.missing, TENSORRT.missing]


def test_desktop_with_an_rtx_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    machine = describe(tmp_path, RTX_DESKTOP, lambda: ((RTX_4090,), ""))
    assert machine == Machine(
        os="Ubuntu 24.04.1 LTS",
        arch="x86_64",
        python="3.10.12",
        board="",
        cpu="AMD Ryzen 9 7950X 16-Core Processor",
        logical_cpus=4,
        allowed_cpus=3,
        quota_cores=None,
        usable_cores=3,
        instruction_sets=("avx2", "avx512f", "avx512_vnni"),
        memory_bytes=65535000 * 1024,
        available_bytes=60000000 * 1024,
        gpus=(RTX_4090,),
        gpu_note="",
        nvidia_driver="550.54.14",
        jetson=None,
    )
    assert advise_on(machine) == (OWN, TENSORRT, RTX, CUDA)


def test_a_driver_that_nothing_can_ask(tmp_path: Path) -> None:
    machine = describe(tmp_path, RTX_DESKTOP)
    assert machine.gpus == ()
    assert machine.gpu_note == (
        "driver 550.54.14 is loaded, but nothing can ask it; pip install nvidia-ml-py"
    )
    assert advise_on(machine) == (OWN, TENSORRT, RTX)


def test_raspberry_pi_5(tmp_path: Path) -> None:
    machine = describe(tmp_path, RASPBERRY_PI_5)
    assert machine == Machine(
        os="Debian GNU/Linux 12 (bookworm)",
        arch="aarch64",
        python="3.10.12",
        board="Raspberry Pi 5 Model B Rev 1.0",
        cpu="Arm Cortex-A76",
        logical_cpus=4,
        allowed_cpus=3,
        quota_cores=None,
        usable_cores=3,
        instruction_sets=ORIN_SETS,
        memory_bytes=8245280 * 1024,
        available_bytes=7340032 * 1024,
        gpus=(),
        gpu_note="",
        nvidia_driver="",
        jetson=None,
    )
    assert advise_on(machine) == (OWN,)


def test_vm_with_a_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    machine = describe(tmp_path, VM)
    assert machine == Machine(
        os="Alpine",
        arch="x86_64",
        python="3.10.12",
        board="",
        cpu="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
        logical_cpus=4,
        allowed_cpus=3,
        quota_cores=1.5,
        usable_cores=2,
        # AMX bfloat16 is on one of the two CPUs only.
        instruction_sets=("avx2", "avx512f", "avx512_vnni", "amx_int8"),
        memory_bytes=16384000 * 1024,
        available_bytes=None,
        gpus=(),
        gpu_note="",
        nvidia_driver="",
        jetson=None,
    )
    assert advise_on(machine) == (OWN,)


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    machine = describe(tmp_path, {})
    assert machine.instruction_sets is None
    assert (machine.memory_bytes, machine.board, machine.jetson) == (None, "", None)
    assert machine.cpu == (platform.processor() or platform.machine())
    assert machine.os == f"{platform.system()} {platform.release()}"


def test_a_part_of_arm_that_is_not_in_the_table(tmp_path: Path) -> None:
    changed = RASPBERRY_PI_5["proc/cpuinfo"].replace("0xd0b", "0xFFF", 1)
    machine = describe(tmp_path, {"proc/cpuinfo": changed})
    assert machine.cpu == "Arm Cortex-A76 + part 0xfff"


def test_the_core_says_more_than_the_name_that_jetson_linux_gives_it(tmp_path: Path) -> None:
    named = "model name\t: ARMv8 Processor rev 1 (v8l)\n" + ORIN_NANO["proc/cpuinfo"]
    assert describe(tmp_path, {"proc/cpuinfo": named}).cpu == "Arm Cortex-A78AE"
