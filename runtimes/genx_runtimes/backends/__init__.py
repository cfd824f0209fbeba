"""The registry of backends, and the one place that imports them.

A new backend costs one file here, one line in `BACKENDS` and one test file.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from genx_runtimes.backends.onnxruntime_devices import DEVICES
from genx_runtimes.errors import BackendUnavailableError, InputError, suggest
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import Session, SessionOptions

__all__ = ["BACKENDS", "Backend", "open_session", "split_backend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What the registry knows of an engine without importing it.

    Args:
        name: as in `--backend`.
        module: the file in this package.
        requires: the import name of the engine, empty where none is needed.
        install: the command that brings the engine.
        summary: for `genx doctor`.
        needs_gpu: whether it runs on an NVIDIA GPU alone.
        devices: what may follow the name, as in `--backend onnxruntime:cuda`; the first is the
            default.
    """

    name: str
    module: str
    requires: str
    install: str
    summary: str
    needs_gpu: bool = False
    devices: tuple[str, ...] = ()

    def is_installed(self) -> bool:
        """Whether the engine's package is there; it is not imported."""
        return not self.requires or find_spec(self.requires) is not None

    def require(self) -> None:
        """Raise BackendUnavailableError unless the engine's package is there."""
        if not self.is_installed():
            raise BackendUnavailableError(
                f"backend {self.name!r} needs the package {self.requires!r}", fix=self.install
            )


class _BackendModule(Protocol):
    def open_session(
        self, model: bytes, component: ComponentSpec, options: SessionOptions
    ) -> Session: ...


BACKENDS = (
    Backend(
        name="onnxruntime",
        module="onnxruntime",
        requires="onnxruntime",
        install="pip install onnxruntime",
        summary="runs the ONNX graphs; CPU, and the providers that the installed build has",
        devices=tuple(device.name for device in DEVICES),
    ),
    Backend(
        name="openvino",
        module="openvino",
        requires="openvino",
        install="pip install openvino",
        summary="runs the ONNX graphs; x86-64 and Arm CPUs, quick with int8",
    ),
    Backend(
        name="tensorrt",
        module="tensorrt",
        requires="tensorrt",
        install="pip install 'genx[tensorrt]'; on a Jetson TensorRT is part of JetPack",
        summary="compiles the ONNX graphs for the NVIDIA GPU that is here; Jetson and desktop",
        devices=("gpu", "dla0", "dla1"),
        needs_gpu=True,
    ),
    Backend(
        name="tensorrt-rtx",
        module="tensorrt_rtx",
        requires="tensorrt_rtx",
        install="pip install 'genx[tensorrt-rtx]'",
        summary="runs engines compiled ahead, on any machine, for desktop NVIDIA GPUs",
        needs_gpu=True,
    ),
    Backend(
        name="null",
        module="null",
        requires="",
        install="",
        summary="runs nothing and returns zeros; for tests and for measuring overhead",
    ),
)


def split_backend(name: str) -> tuple[Backend, str | None]:
    """Return the backend and the device of NAME or NAME:DEVICE.

    Raises:
        InputError: there is none of that name, or it has no such device.
    """
    head, colon, device = name.partition(":")
    for backend in BACKENDS:
        if backend.name == head:
            if not colon:
                return backend, None
            if device in backend.devices:
                return backend, device
            raise InputError(
                f"backend {head!r} has no device {device!r}",
                fix=f"there is: {', '.join(backend.devices)}"
                if backend.devices
                else "leave it out",
            )
    raise InputError(f"unknown backend {head!r}", fix=suggest(head, [b.name for b in BACKENDS]))


def find_backend(name: str) -> Backend:
    """Return the backend of NAME or NAME:DEVICE; errors as for `split_backend`."""
    return split_backend(name)[0]


def runs_on_cpu(name: str) -> bool:
    """Whether the backend of NAME or NAME:DEVICE computes on the CPU; errors as above."""
    backend, device = split_backend(name)
    return not backend.needs_gpu and device in (None, "cpu")


def check_fallback(name: str) -> None:
    """Refuse to allow falling back where nothing could: no device is named, or the CPU is.

    Raises:
        InputError: as said, or for an unknown device.
    """
    backend, device = split_backend(name) if ":" in name else (None, None)
    if backend is None or device == backend.devices[0]:
        devices = [f"{b.name}:{d}" for b in BACKENDS for d in b.devices[1:]]
        raise InputError(
            f"allowing a fallback has no meaning with the backend {name!r}",
            fix=f"leave --allow-fallback out, or name a device: {', '.join(devices)}",
        )


def import_engine(name: str) -> None:
    """Import what a backend needs, which opening a session would do; what fails is told there.

    Args:
        name: NAME or NAME:DEVICE; nothing is done for one that is not in `BACKENDS`.
    """
    known = {backend.name: backend for backend in BACKENDS}
    found = known.get(name.partition(":")[0])
    if found is not None and found.requires and found.is_installed():
        with suppress(ImportError, OSError):
            import_module(found.requires)


def open_session(
    model: bytes,
    component: ComponentSpec,
    *,
    backend: str = "onnxruntime",
    options: SessionOptions | None = None,
) -> Session:
    """Load a graph into an engine.

    Args:
        model: the serialised ONNX model.
        component: what the manifest says of its inputs and outputs.
        backend: a name in `BACKENDS`, or NAME:DEVICE.
        options: threads, spinning, whether falling back is allowed.

    Raises:
        InputError: unknown backend or device, or a fallback that cannot be.
        BackendUnavailableError: the engine or provider is not installed.
        BackendError: the engine refuses the model.
    """
    chosen, device = split_backend(backend)
    settings = replace(options or SessionOptions(), device=device)
    if settings.allow_fallback:
        check_fallback(backend)
    chosen.require()
    module = cast("_BackendModule", import_module(f"genx_runtimes.backends.{chosen.module}"))
    return module.open_session(model, component, settings)
