"""A stand-in for onnxruntime: it takes down what it is given and answers as a provider would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from genx_runtimes.backends.onnxruntime_devices import DEVICES, Device
from genx_runtimes.bundle import open_bundle
from genx_runtimes.session import SessionOptions

CPU = "CPUExecutionProvider"
STRICT = "session.disable_cpu_ep_fallback"
HARDWARE = [device for device in DEVICES if device.name != "cpu"]
BUILT_IN = [device for device in HARDWARE if not device.plugin]
PLUGINS = [device for device in HARDWARE if device.plugin]


@dataclass
class FakeOrt:
    """What was asked of onnxruntime, and how it answers.

    Args:
        available: the providers of the build.
        loads: the providers that load; the CPU always does.
        refuses: providers that raise when a session is created on them.
        nodes: how many nodes run where, as onnxruntime tells.
    """

    available: list[str]
    loads: list[str]
    refuses: Sequence[str] = ()
    nodes: dict[str, int] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    preloads: int = 0

    def create(self, model: bytes, settings: Any, providers: Any = None, **kwargs: Any) -> Any:
        names = [name for name, _ in providers or settings.plugins]
        self.sessions.append(
            {"settings": settings, "providers": providers, "names": names, **kwargs}
        )
        if names[0] in self.refuses:
            raise RuntimeError("no kernel for ConvTranspose\nand a trace")
        got = [name for name in names if name in self.loads and name != CPU]
        fake = SimpleNamespace(disabled=False)
        fake.get_providers = lambda: [*got, CPU]
        fake.disable_fallback = lambda: setattr(fake, "disabled", True)
        fake.run = lambda names, feeds: [np.zeros((len(feeds["z"]), 1, 8, 8), np.float32)]
        fake.get_provider_graph_assignment_info = lambda: [
            SimpleNamespace(ep_name=name, get_nodes=lambda n=n: [None] * n)
            for name, n in self.nodes.items()
        ]
        self.sessions[-1]["session"] = fake
        return fake

    def preload_dlls(self) -> None:
        sys.stdout.write("libraries are loaded\n")
        self.preloads += 1


class Settings:
    """A stand-in of onnxruntime's SessionOptions."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.dimensions: dict[str, int] = {}
        self.plugins: list[tuple[str, dict[str, str]]] = []
        self.enable_mem_pattern = True

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        self.dimensions[name] = value

    def add_provider_for_devices(self, found: list[Any], options: dict[str, str]) -> None:
        self.plugins += [(device.ep_name, options) for device in found]


Start = Callable[..., FakeOrt]


def install(monkeypatch: pytest.MonkeyPatch, *available: str, **answers: Any) -> FakeOrt:
    """Put a stand-in in the place of onnxruntime, on a machine with the given providers."""
    fake = FakeOrt(available=[*available, CPU], **{"loads": list(available), **answers})
    monkeypatch.setattr(ort, "get_available_providers", lambda: fake.available)
    monkeypatch.setattr(ort, "InferenceSession", fake.create)
    monkeypatch.setattr(ort, "SessionOptions", Settings)
    monkeypatch.setattr(ort, "preload_dlls", fake.preload_dlls, raising=False)
    return fake


def name_device(device: Device) -> str:
    """Name a device in a test's name."""
    return device.name


def open_on(bundle: Path, name: str, **options: Any) -> None:
    """Open and close a session on a device, set up for batches of 4."""
    with open_bundle(bundle).session(
        "generator", backend=f"onnxruntime:{name}", batch=4, options=SessionOptions(**options)
    ):
        pass
