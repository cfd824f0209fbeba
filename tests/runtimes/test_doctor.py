"""genx doctor, on trees recorded from /proc, /sys and /etc of other machines."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from genx_runtimes.backends import Backend
from genx_runtimes.child import Outcome, run_child
from genx_runtimes.doctor import EXPORT_PACKAGES, examine, probe_engine
from genx_runtimes.errors import BackendError
from genx_runtimes.machine import Gpu, ask_nvidia_smi, describe_machine, parse_gpus
from genx_runtimes.probe import Finding, run_identity

PI_CPU = """\
processor\t: {0}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc \
dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
RASPBERRY_PI_5 = {
    "proc/cpuinfo": "".join(PI_CPU.format(i) for i in range(4))
    + "Revision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        8245280 kB\nMemFree:  1 kB\nMemAvailable:    7340032 kB\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n',
}
ORIN_CPU = (
    PI_CPU.replace("0xd0b", "0xd42")
    .replace("asimddp", "asimddp uscat ilrcpc flagm paca pacg")
    .replace("108.00", "62.50")
)
JETSON_ORIN = {
    "proc/cpuinfo": "".join(ORIN_CPU.format(i) for i in range(6)),
    "proc/meminfo": "MemTotal:        7802992 kB\nMemAvailable:    5242880 kB\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
}
VM = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n"
    "flags\t\t: fpu vme sse2 avx avx2 avx512f avx512_vnni amx_tile amx_int8 amx_bf16\n\n"
    "processor\t: 1\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n"
    "flags\t\t: fpu vme sse2 avx avx2 avx512f avx512_vnni amx_tile amx_int8\n",
    "proc/meminfo": "MemTotal:       16384000 kB\n",
    "proc/self/cgroup": "0::/user.slice\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
    "etc/os-release": "PRETTY_NAME='Alpine'\n",
}
ENGINE = Backend(name="engine", module="engine", requires="numpy", install="-", summary="-")
ABSENT = Backend(
    name="absent", module="x", requires="genx_no_such", install="pip install absent", summary="-"
)
OWN = Backend(name="null", module="null", requires="", install="", summary="computes nothing")


def record(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def no_gpu() -> tuple[tuple[Gpu, ...], str]:
    return (), ""


def answer(version: str, *providers: str) -> Outcome:
    return Outcome(output=msgspec.json.encode(Finding(version=version, providers=providers)))


def test_raspberry_pi_5(tmp_path: Path) -> None:
    machine = describe_machine(record(tmp_path, RASPBERRY_PI_5), ask_gpus=no_gpu)
    assert machine.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.cpu == "Arm Cortex-A76"
    assert machine.instruction_sets == ("asimd", "asimdhp", "asimddp")
    assert machine.os == "Debian GNU/Linux 12 (bookworm)"
    assert (machine.memory_bytes, machine.available_bytes) == (8245280 * 1024, 7340032 * 1024)
    assert (machine.gpus, machine.is_jetson, machine.quota_cores) == ((), False, None)


def test_jetson_orin(tmp_path: Path) -> None:
    machine = describe_machine(record(tmp_path, JETSON_ORIN), ask_gpus=no_gpu)
    assert machine.is_jetson
    assert machine.board.startswith("NVIDIA Jetson Orin Nano")
    assert machine.cpu == "Arm Cortex-A78AE"
    assert machine.os == "Ubuntu 22.04.5 LTS, L4T 36.4.3"


def test_vm_with_a_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    machine = describe_machine(record(tmp_path, VM), ask_gpus=no_gpu)
    assert machine.cpu == "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"
    # AMX bfloat16 is on one of the two CPUs only.
    assert machine.instruction_sets == ("avx2", "avx512f", "avx512_vnni", "amx_int8")
    assert (machine.allowed_cpus, machine.quota_cores, machine.usable_cores) == (2, 1.5, 2)
    assert (machine.board, machine.available_bytes) == ("", None)


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path, ask_gpus=no_gpu)
    assert machine.instruction_sets is None
    assert (machine.memory_bytes, machine.board) == (None, "")
    assert machine.cpu == (platform.processor() or platform.machine())
    assert machine.os == f"{platform.system()} {platform.release()}"


def test_a_part_of_arm_that_is_not_in_the_table(tmp_path: Path) -> None:
    changed = RASPBERRY_PI_5["proc/cpuinfo"].replace("0xd0b", "0xFFF", 1)
    root = record(tmp_path, {"proc/cpuinfo": changed})
    assert describe_machine(root, ask_gpus=no_gpu).cpu == "Arm Cortex-A76 + part 0xfff"


def test_nvidia_smi_lines() -> None:
    text = "NVIDIA H200, 570.86.15, 143771, 9.0\nOrin (nvgpu), 540.4.0, [N/A], [N/A]\nnonsense\n"
    assert parse_gpus(text) == (
        Gpu(name="NVIDIA H200", driver="570.86.15", memory_mib=143771, compute_capability="9.0"),
        Gpu(name="Orin (nvgpu)", driver="540.4.0"),
    )


@pytest.mark.parametrize(
    ("script", "gpus", "note"),
    [
        ("echo 'NVIDIA T4, 550.1, 15360, 7.5'", ["NVIDIA T4"], ""),
        ("echo NVIDIA-SMI has failed; exit 9", [], "nvidia-smi NVIDIA-SMI has failed"),
        ("exit 3", [], "nvidia-smi ended with exit code 3 and said nothing"),
        ("true", [], "nvidia-smi lists no GPU"),
    ],
)
def test_nvidia_smi_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: list[str], note: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found, said = ask_nvidia_smi()
    assert ([gpu.name for gpu in found], said) == (gpus, note)


def test_no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_nvidia_smi() == ((), "")


def test_onnxruntime_runs_a_graph_in_its_own_process() -> None:
    outcome = probe_engine("onnxruntime")
    assert outcome.failure == ""
    finding = msgspec.json.decode(outcome.output, type=Finding)
    assert finding.version == metadata.version("onnxruntime")
    assert "CPUExecutionProvider" in finding.providers


def test_an_engine_that_computes_something_else_is_found_out() -> None:
    run_identity("onnxruntime", "CPUExecutionProvider")
    with pytest.raises(BackendError, match="null returns"):
        run_identity("null")


def test_a_provider_that_is_not_there_gives_its_reason() -> None:
    outcome = probe_engine("onnxruntime", "NoSuchExecutionProvider")
    assert "NoSuchExecutionProvider" in outcome.failure


def test_broken_and_absent_engines_are_told_apart_from_working_ones(tmp_path: Path) -> None:
    def probe(backend: str, provider: str) -> Outcome:
        if provider == "CUDAExecutionProvider":
            return Outcome(output=b"", failure="libcublas.so.12: cannot open shared object file")
        return answer("9.9", "CUDAExecutionProvider", "CPUExecutionProvider")

    report = examine(tmp_path, backends=(ENGINE, ABSENT, OWN), probe=probe, ask_gpus=no_gpu)
    told = [(e.backend, e.provider, e.works, e.reason) for e in report.engines]
    assert told == [
        ("engine", "", True, ""),
        (
            "engine",
            "CUDAExecutionProvider",
            False,
            "libcublas.so.12: cannot open shared object file",
        ),
        ("absent", "", False, "genx_no_such is not installed"),
    ]
    assert report.can_sample
    assert ("the engine genx_no_such", "pip install absent") in [
        (a.missing, a.command) for a in report.advice
    ]


def test_an_engine_that_kills_its_process_is_reported(tmp_path: Path) -> None:
    def probe(backend: str, provider: str) -> Outcome:
        crash = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
        return run_child((sys.executable, "-c", crash), timeout_s=30)

    report = examine(tmp_path, backends=(ENGINE,), probe=probe, ask_gpus=no_gpu)
    assert "SIGILL" in report.engines[0].reason
    assert "instruction" in report.engines[0].reason
    assert not report.can_sample


def test_an_answer_that_is_none_is_not_believed(tmp_path: Path) -> None:
    report = examine(
        tmp_path,
        backends=(ENGINE,),
        probe=lambda *_: Outcome(output=b"hello"),
        ask_gpus=no_gpu,
    )
    assert report.engines[0].reason.startswith("gave no usable answer")


@pytest.mark.parametrize(("tree", "advised"), [(VM, True), (JETSON_ORIN, False)])
def test_a_gpu_that_onnxruntime_cannot_use(
    tmp_path: Path, tree: dict[str, str], advised: bool
) -> None:
    report = examine(
        record(tmp_path, tree),
        backends=(ENGINE,),
        probe=lambda *_: answer("1.0", "CPUExecutionProvider"),
        ask_gpus=lambda: ((Gpu(name="NVIDIA T4"),), ""),
    )
    commands = [a.command for a in report.advice]
    assert any("onnxruntime-gpu" in command for command in commands) == advised


def test_missing_export_packages_are_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name in ("torch", "onnx"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    report = examine(tmp_path, backends=(ENGINE,), probe=lambda *_: answer("1.0"), ask_gpus=no_gpu)
    assert not report.can_export
    assert [(a.missing.partition(" (")[0], a.command) for a in report.advice] == [
        ("torch, onnx", "pip install 'genx[export]'")
    ]


def test_export_packages_are_those_of_the_extra() -> None:
    required = metadata.requires("genx") or []
    names = [
        re.split(r"[^\w-]", text)[0]
        for text in required
        if re.search(r"extra == ['\"]export['\"]", text) and "python_version" not in text
    ]
    # onnxruntime is needed by the runtime as well, and reported as an engine.
    assert sorted((*EXPORT_PACKAGES, "onnxruntime")) == sorted(names)
