"""genx doctor: which engines really run, and what is advised."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

import msgspec
import pytest
from tests.runtimes.machines import ORIN_NANO, VM, Tree, no_gpu, record

from genx_runtimes.backends import Backend
from genx_runtimes.child import Outcome, run_child
from genx_runtimes.doctor import EXPORT_PACKAGES, examine, probe_engine
from genx_runtimes.errors import BackendError
from genx_runtimes.nvidia import Gpu
from genx_runtimes.probe import Finding, run_identity

ENGINE = Backend(name="engine", module="engine", requires="numpy", install="-", summary="-")
ABSENT = Backend(
    name="absent", module="x", requires="genx_no_such", install="pip install absent", summary="-"
)
OWN = Backend(name="null", module="null", requires="", install="", summary="computes nothing")


def answer(version: str, *providers: str) -> Outcome:
    return Outcome(output=msgspec.json.encode(Finding(version=version, providers=providers)))


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


@pytest.mark.parametrize(("tree", "advised"), [(VM, True), (ORIN_NANO, False)])
def test_a_gpu_that_onnxruntime_cannot_use(tmp_path: Path, tree: Tree, advised: bool) -> None:
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
