"""Providers that come as plugins, in packages of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnxruntime as ort
import pytest
from tests.runtimes.fake_onnxruntime import (
    PLUGINS,
    STRICT,
    Start,
    name_device,
    open_on,
)

from genx_runtimes.backends.onnxruntime import list_providers
from genx_runtimes.backends.onnxruntime_devices import Device
from genx_runtimes.backends.onnxruntime_loading import _register
from genx_runtimes.errors import BackendUnavailableError

PLUGIN_SETTINGS = {
    "nv_tensorrt_rtx": {
        "nv_profile_min_shapes": "z:1x8,label:1",
        "nv_profile_opt_shapes": "z:4x8,label:4",
        "nv_profile_max_shapes": "z:16x8,label:16",
    },
    "qnn": {"backend_type": "htp", "enable_htp_fp16_precision": "0"},
}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Device, str], list[tuple[str, str]]]:
    """Install a plugin package and one piece of hardware of a kind; return registrations."""
    _register.cache_clear()

    def install(device: Device, kind: str) -> list[tuple[str, str]]:
        module = ModuleType(device.plugin)
        module.get_library_path = lambda: "/lib/ep.so"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, device.plugin, module)
        found = f"{__name__}.{device.plugin}"
        module.__spec__ = SimpleNamespace(name=found)  # type: ignore[assignment]
        calls: list[tuple[str, str]] = []
        hardware = SimpleNamespace(type=SimpleNamespace(name=kind))
        devices = [SimpleNamespace(ep_name=device.provider, device=hardware)]
        monkeypatch.setattr(
            ort,
            "register_execution_provider_library",
            lambda *args: calls.append(args),
            raising=False,
        )
        monkeypatch.setattr(ort, "get_ep_devices", lambda: devices, raising=False)
        return calls

    return install


@pytest.mark.parametrize("device", PLUGINS, ids=name_device)
def test_plugins_are_registered_once_and_get_their_options(
    device: Device, tiny_bundle: Path, start: Start, plugin: Any
) -> None:
    fake = start(loads=[device.provider])
    calls = plugin(device, device.hardware)
    open_on(tiny_bundle, device.name)
    open_on(tiny_bundle, device.name)
    assert calls == [(device.provider, "/lib/ep.so")]
    made = fake.sessions[0]
    assert made["providers"] is None
    ((provider, options),) = made["settings"].plugins
    cache = options.pop("nv_runtime_cache_path", None)
    assert (cache is not None) == (device.name == "nv_tensorrt_rtx")
    assert (provider, options) == (device.provider, PLUGIN_SETTINGS[device.name])
    assert made["settings"].entries == {STRICT: "1"}
    assert device.provider in list_providers()


@pytest.mark.parametrize("device", PLUGINS, ids=name_device)
def test_plugins_without_their_hardware_are_an_error(
    device: Device, tiny_bundle: Path, start: Start, plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    plugin(device, "CPU")
    missing = f"{device.package} finds no {device.hardware} here"
    with pytest.raises(BackendUnavailableError, match=missing):
        open_on(tiny_bundle, device.name)
    told: list[str] = []
    open_on(tiny_bundle, device.name, allow_fallback=True, tell=told.append)
    assert told[0].startswith(missing)
    _register.cache_clear()

    def fail(*_: str) -> None:
        raise RuntimeError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ort, "register_execution_provider_library", fail)
    with pytest.raises(BackendUnavailableError, match=r"cannot load .*: libcuda\.so\.1: cannot op"):
        open_on(tiny_bundle, device.name)
    monkeypatch.delattr(ort, "register_execution_provider_library")
    with pytest.raises(BackendUnavailableError, match="takes no plugins, which onnxruntime-"):
        open_on(tiny_bundle, device.name)
