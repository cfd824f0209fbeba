"""The devices of the onnxruntime backend: the execution provider of each and what brings it.

The one place that knows them; nothing of an engine is imported here.

Source: onnxruntime's documentation of its execution providers (CUDA, TensorRT, TensorRT RTX,
CoreML, DirectML, QNN) and of plugin execution provider libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from genx_runtimes.backends.onnxruntime_settings import (
    TF32_VARIABLE,
    Graph,
    set_coreml,
    set_cuda,
    set_nothing,
    set_qnn,
    set_tensorrt,
    set_tensorrt_rtx,
)
from genx_runtimes.session import SessionOptions

CPU = "CPUExecutionProvider"
# TensorRT rounds float32 to TF32 unless told so before it is loaded; onnxruntime has no option for
# it. Source: issues 6427 and 26029 of onnxruntime.
_NO_TF32 = (TF32_VARIABLE, "0")
_SWAP = "pip uninstall -y onnxruntime && pip install"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of the onnxruntime backend.

    Args:
        name: as in `--backend onnxruntime:NAME`.
        provider: onnxruntime's name of the execution provider.
        package: the package that brings it.
        install: the command that installs it.
        settings: its options.
        rest: providers for what it cannot run, before the CPU, where falling back is allowed.
        environment: variables that are set, unless they are, before it is loaded.
        preloads: whether CUDA's libraries from pip packages are loaded first.
        libraries: a package whose import loads the libraries in it, "" if none is needed.
        fixed_batch: whether a graph must be loaded for each batch size.
        plain_memory: whether it needs memory patterns off and nodes one after another.
        plugin: import name of a package that holds it as a plugin, "" if it is built in.
        hardware: the plugin's kind of device: "GPU" or "NPU".
    """

    name: str
    provider: str
    package: str
    install: str
    settings: Callable[[Graph], dict[str, str]] = set_nothing
    rest: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    preloads: bool = False
    libraries: str = ""
    fixed_batch: bool = False
    plain_memory: bool = False
    plugin: str = ""
    hardware: str = ""


DEVICES = (
    Device(name="cpu", provider=CPU, package="onnxruntime", install="pip install onnxruntime"),
    Device(
        name="cuda",
        provider="CUDAExecutionProvider",
        package="onnxruntime-gpu",
        install=f"{_SWAP} 'onnxruntime-gpu[cuda,cudnn]'",
        settings=set_cuda,
        preloads=True,
    ),
    Device(
        name="tensorrt",
        provider="TensorrtExecutionProvider",
        package="onnxruntime-gpu",
        install=f"{_SWAP} 'onnxruntime-gpu[cuda,cudnn]' tensorrt",
        settings=set_tensorrt,
        rest=("CUDAExecutionProvider",),
        environment=(_NO_TF32,),
        preloads=True,
        libraries="tensorrt_libs",
    ),
    Device(
        name="nv_tensorrt_rtx",
        provider="NvTensorRTRTXExecutionProvider",
        package="onnxruntime-ep-nv-tensorrt-rtx",
        install="pip install 'onnxruntime>=1.24' onnxruntime-ep-nv-tensorrt-rtx",
        settings=set_tensorrt_rtx,
        environment=(_NO_TF32,),
        plugin="onnxruntime_ep_nv_tensorrt_rtx",
        hardware="GPU",
    ),
    Device(
        name="coreml",
        provider="CoreMLExecutionProvider",
        package="onnxruntime",
        install="pip install 'onnxruntime>=1.21' on macOS",
        settings=set_coreml,
        fixed_batch=True,
    ),
    Device(
        name="dml",
        provider="DmlExecutionProvider",
        package="onnxruntime-directml",
        install=f"{_SWAP} onnxruntime-directml on Windows",
        plain_memory=True,
    ),
    Device(
        name="qnn",
        provider="QNNExecutionProvider",
        package="onnxruntime-qnn",
        install="pip install onnxruntime-qnn",
        settings=set_qnn,
        fixed_batch=True,
        plugin="onnxruntime_qnn",
        hardware="NPU",
    ),
)


def find_provider(provider: str) -> Device:
    """Return the device of an execution provider; one that is not listed has no options."""
    for device in DEVICES:
        if device.provider == provider:
            return device
    return Device(
        name=provider,
        provider=provider,
        package="",
        install="genx doctor shows what works here",
    )


def choose_devices(options: SessionOptions) -> tuple[Device, ...]:
    """Return what is to run a graph, in order; with `allow_fallback` the CPU comes last."""
    if options.device is None:
        chosen = [find_provider(name) for name in options.providers]
    else:
        chosen = [device for device in DEVICES if device.name == options.device]
    if options.allow_fallback:
        others = [find_provider(name) for device in chosen for name in (*device.rest, CPU)]
        chosen += [device for device in dict.fromkeys(others) if device not in chosen]
    return tuple(chosen)


def list_packages() -> dict[str, tuple[str, ...]]:
    """Return the providers that each package brings, other than onnxruntime itself."""
    packages: dict[str, tuple[str, ...]] = {}
    for device in DEVICES:
        if device.package != "onnxruntime":
            packages[device.package] = (*packages.get(device.package, ()), device.provider)
    return {**packages, "onnxruntime-openvino": ("OpenVINOExecutionProvider",)}


def list_plugins() -> tuple[str, ...]:
    """Return the providers whose plugin packages are installed."""
    return tuple(d.provider for d in DEVICES if d.plugin and find_spec(d.plugin) is not None)
