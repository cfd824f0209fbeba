"""What is missing on a machine, and the command or change that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genx_runtimes.backends import Backend
from genx_runtimes.jetson import Jetson
from genx_runtimes.machine import Machine

_OLDEST_PYTHON = (3, 10)
# Engines, by what they import, that are of no use without an NVIDIA GPU.
_TENSORRT, _TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
_NEWEST_JETPACK_5 = "install JetPack 6 or later, which brings Python 3.10 or later"
_LAST_JETPACK_5 = (
    "JetPack 5 is the last for Xavier: with another Python, 3.10 or later, its CPU runs bundles"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something missing and the command, or the change, that brings it."""

    missing: str
    command: str


def advise(
    machine: Machine,
    *,
    backends: Sequence[Backend],
    providers: Sequence[str],
    export_packages: Sequence[str],
) -> tuple[Advice, ...]:
    """List what is missing and can be had.

    Args:
        machine: where it is missing.
        backends: those that genx has; of use or not.
        providers: what onnxruntime was built with.
        export_packages: those that are not installed.
    """
    advice = _advise_python(machine.jetson) if machine.jetson else []
    for backend in backends:
        if not backend.is_installed():
            advice += _advise_engine(machine, backend)
    if export_packages:
        what = f"{', '.join(export_packages)} (only the machine that exports needs them)"
        advice.append(Advice(missing=what, command="pip install 'genx[export]'"))
    on_desktop = machine.gpus and not machine.jetson
    if on_desktop and providers and "CUDAExecutionProvider" not in providers:
        advice.append(
            Advice(
                missing="an onnxruntime that uses the NVIDIA GPU",
                command="pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
            )
        )
    return tuple(advice)


def _advise_python(jetson: Jetson) -> list[Advice]:
    """Tell that a JetPack's own Python, which its TensorRT is for, is too old for genx."""
    python = jetson.jetpack.python
    if not python or _parse(python) >= _OLDEST_PYTHON:
        return []
    missing = (
        f"a GPU engine for genx: JetPack {jetson.jetpack.version} has its TensorRT for Python "
        f"{python}, genx needs {'.'.join(map(str, _OLDEST_PYTHON))} or later"
    )
    command = _LAST_JETPACK_5 if jetson.chip == "Xavier" else _NEWEST_JETPACK_5
    return [Advice(missing=missing, command=command)]


def _advise_engine(machine: Machine, backend: Backend) -> list[Advice]:
    """Say how an engine is had, unless it cannot be of use on this machine."""
    missing = f"the engine {backend.requires}"
    if backend.requires not in (_TENSORRT, _TENSORRT_RTX):
        return [Advice(missing=missing, command=backend.install)]
    jetson = machine.jetson
    if jetson is None:
        return [Advice(missing=missing, command=backend.install)] if machine.has_nvidia_gpu else []
    if backend.requires == _TENSORRT_RTX:
        return []  # not made for Jetson
    python = jetson.jetpack.python
    if python and _parse(python) < _OLDEST_PYTHON:
        return []  # told already
    if python and _parse(python) != _parse(machine.python)[:2]:
        missing += f": JetPack {jetson.jetpack.version} has it for Python {python} alone"
    interpreter = f"python{python or 3}"
    return [
        Advice(
            missing=missing,
            command="sudo apt install python3-libnvinfer, then work in what "
            f"{interpreter} -m venv --system-site-packages makes",
        )
    ]


def _parse(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
