"""GPUs through NVML, of which there is a fake here, and through nvidia-smi."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.runtimes.machines import ORIN_NANO, RTX_4090, RTX_DESKTOP, THOR, Tree, record

from genx_runtimes import nvidia
from genx_runtimes.nvidia import (
    Gpu,
    ask_gpus,
    ask_nvidia_smi,
    ask_nvml,
    load_nvml,
    parse_gpus,
    read_kernel_driver,
)


class NVMLError(Exception):
    """The base of pynvml's errors."""


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - pynvml's name
    pass


class NVMLError_LibRmVersionMismatch(NVMLError):  # noqa: N801, N818 - pynvml's name
    pass


@dataclass(frozen=True)
class Memory:
    total: int


@dataclass
class FakeNvml:
    """pynvml with RTX 4090s in it; `broken` functions raise the error that they are given."""

    count: int = 1
    as_bytes: bool = False
    broken: dict[str, NVMLError] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    NVMLError = NVMLError

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise self.broken[name]

    def _text(self, text: str) -> str | bytes:
        return text.encode() if self.as_bytes else text

    def nvmlInit(self) -> None:  # noqa: N802
        self._call("init")

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._call("shutdown")

    def nvmlSystemGetDriverVersion(self) -> str | bytes:  # noqa: N802
        self._call("driver")
        return self._text("550.54.14")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._call("count")
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        self._call(f"handle {index}")
        return index

    def nvmlDeviceGetName(self, handle: object) -> str | bytes:  # noqa: N802
        self._call("name")
        return self._text("NVIDIA GeForce RTX 4090")

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Memory:  # noqa: N802
        self._call("memory")
        return Memory(24564 * 2**20 + 5)

    def nvmlDeviceGetCudaComputeCapability(self, handle: object) -> tuple[int, int]:  # noqa: N802
        self._call("capability")
        return 8, 9


@pytest.mark.parametrize("as_bytes", [False, True])
def test_gpus_are_described(as_bytes: bool) -> None:
    nvml = FakeNvml(count=2, as_bytes=as_bytes)
    assert ask_nvml(nvml) == ((RTX_4090, RTX_4090), "")
    assert nvml.calls[-1] == "shutdown"


def test_what_a_jetson_does_not_support_is_unknown() -> None:
    refusal = NVMLError_NotSupported("Not Supported")
    nvml = FakeNvml(broken={"memory": refusal, "capability": refusal, "driver": refusal})
    assert ask_nvml(nvml) == ((Gpu(name="NVIDIA GeForce RTX 4090"),), "")


def test_a_driver_of_another_version_is_a_note_that_says_what_mends_it() -> None:
    mismatch = NVMLError_LibRmVersionMismatch("Driver/library version mismatch")
    nvml = FakeNvml(broken={"init": mismatch})
    assert ask_nvml(nvml) == (
        (),
        "NVML: Driver/library version mismatch; restart the machine, so that the new driver is "
        "loaded",
    )
    assert nvml.calls == ["init"]


def test_a_gpu_that_fell_off_the_bus_leaves_the_others() -> None:
    nvml = FakeNvml(count=3, broken={"handle 1": NVMLError("GPU is lost")})
    assert ask_nvml(nvml) == ((RTX_4090,), "GPU 1: NVML: GPU is lost")
    assert nvml.calls[-1] == "shutdown"


def test_no_gpu() -> None:
    assert ask_nvml(FakeNvml(count=0)) == ((), "NVML lists no GPU")
    failing = FakeNvml(broken={"shutdown": NVMLError("Uninitialized")})
    assert ask_nvml(failing) == ((RTX_4090,), "")


def test_nvidia_smi_is_asked_where_nvml_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    orin = Gpu(name="Orin (nvgpu)")
    monkeypatch.setattr(nvidia, "ask_nvidia_smi", lambda: ((orin,), ""))
    monkeypatch.setattr(nvidia, "load_nvml", lambda: None)
    assert ask_gpus() == ((orin,), "")
    failing = FakeNvml(broken={"init": NVMLError("Unknown Error")})
    monkeypatch.setattr(nvidia, "load_nvml", lambda: failing)
    assert ask_gpus() == ((orin,), "NVML: Unknown Error")
    monkeypatch.setattr(nvidia, "load_nvml", FakeNvml)
    assert ask_gpus() == ((RTX_4090,), "")
    monkeypatch.setattr(nvidia, "ask_nvidia_smi", lambda: ((), "nvidia-smi has failed"))
    monkeypatch.setattr(nvidia, "load_nvml", lambda: None)
    assert ask_gpus() == ((), "nvidia-smi has failed")


def test_pynvml_need_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def test_pynvml_has_the_names_that_are_used() -> None:
    pynvml = pytest.importorskip("pynvml")
    names = [n for n in dir(FakeNvml) if n.startswith(("nvml", "NVML"))]
    assert len(names) == 9
    assert [n for n in (*names, *nvidia._FIXES) if not hasattr(pynvml, n)] == []


@pytest.mark.parametrize(
    ("tree", "driver"),
    [(RTX_DESKTOP, "550.54.14"), (THOR, "580.00"), (ORIN_NANO, ""), ({}, "")],
)
def test_driver_of_the_kernel(tmp_path: Path, tree: Tree, driver: str) -> None:
    assert read_kernel_driver(record(tmp_path, tree)) == driver


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
