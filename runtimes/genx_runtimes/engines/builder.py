"""Compiling a graph with TensorRT: one code path for 10.3 to 11 and for TensorRT-RTX.

Source: TensorRT's Python API, `Builder`, `IBuilderConfig`, `IProgressMonitor`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from genx_runtimes.engines.flavours import Loaded
from genx_runtimes.engines.network import Network, parse_network
from genx_runtimes.engines.precision import LayerPrecision, list_precisions
from genx_runtimes.engines.settings import BuildSettings
from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.writing import write_whole

# Told of each phase: its name, the steps done, and how many there are.
BuildProgress = Callable[[str, int, int], None]

_MIB = 2**20


class Plan(NamedTuple):
    """A serialised engine, and which of its layers compute in which types."""

    data: bytes
    layers: tuple[LayerPrecision, ...]


def build_plan(
    loaded: Loaded,
    model: bytes,
    component: ComponentSpec,
    settings: BuildSettings,
    *,
    timing_cache: Path | None = None,
    progress: BuildProgress = lambda *_: None,
) -> Plan:
    """Compile a graph.

    Args:
        loaded: a TensorRT.
        model: the serialised ONNX file, checked by `graph_check`.
        component: what the manifest says of it.
        settings: how to build.
        timing_cache: measurements of earlier builds, read if it is there and written afterwards.
        progress: told how far it is.

    Raises:
        BackendError: TensorRT refuses the graph or the settings.
        KeyboardInterrupt: Ctrl-C was pressed; TensorRT was told to stop at its next step.
    """
    parsed = parse_network(loaded, model, component.name)
    config = _configure(parsed, component, settings)
    cache = None if timing_cache is None else _read_timing_cache(config, timing_cache)
    with _cancel_on_ctrl_c() as cancelled:
        config.progress_monitor = _make_monitor(loaded.trt, progress, cancelled)
        data = parsed.builder.build_serialized_network(parsed.network, config)
    if cancelled.is_set():
        raise KeyboardInterrupt
    if data is None:
        raise BackendError(
            f"{loaded.flavour.name} {loaded.version} built no engine for {component.name!r}: "
            f"{loaded.last_error()}",
            fix="genx --debug build ... shows all that it logged",
        )
    if timing_cache is not None and cache is not None:
        with write_whole(timing_cache) as file:
            file.write(bytes(cache.serialize()))
    plan = bytes(data)
    return Plan(plan, list_precisions(parsed, plan))


def _configure(parsed: Network, component: ComponentSpec, settings: BuildSettings) -> Any:
    trt, builder = parsed.loaded.trt, parsed.builder
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: products rounded to 10 bits
    if settings.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb * _MIB)
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.dla is not None:
        _use_dla(trt, builder, config, settings)
    if settings.compute_capabilities:
        from genx_runtimes.engines.rtx import set_compute_capabilities

        set_compute_capabilities(trt, config, settings.compute_capabilities)
    profile = builder.create_optimization_profile()
    for port in component.inputs:
        rest = port.shape[1:]
        batch = settings.batch
        profile.set_shape(port.name, *((size, *rest) for size in (batch.min, batch.opt, batch.max)))
    config.add_optimization_profile(profile)
    return config


def _use_dla(trt: Any, builder: Any, config: Any, settings: BuildSettings) -> None:
    if settings.dla is None or settings.dla >= builder.num_DLA_cores:
        raise InputError(
            f"DLA {settings.dla} was asked for, this machine has {builder.num_DLA_cores}",
            fix="leave out --dla",
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = settings.dla
    if settings.gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _read_timing_cache(config: Any, path: Path) -> Any:
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise InputError(
            f"the timing cache {path} is of another TensorRT or GPU, or damaged",
            fix="name another file, which is then made",
        )
    return cache


def _make_monitor(trt: Any, progress: BuildProgress, cancelled: threading.Event) -> object:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Counts the steps of the outermost phase; steps within it are told by name."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._outer = ""
            self._total = 0
            self._done = 0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._outer, self._total = phase_name, num_steps
            progress(phase_name, self._done, self._total)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name == self._outer:
                self._done = step + 1
            progress(phase_name, self._done, self._total)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            if phase_name == self._outer:
                progress(phase_name, self._total, self._total)

    return Monitor()


@contextmanager
def _cancel_on_ctrl_c() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets: an exception must not pass through TensorRT's C++."""
    cancelled = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancelled
        return
    before = signal.getsignal(signal.SIGINT)

    def cancel(*_: object) -> None:
        cancelled.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more ends the process at once

    signal.signal(signal.SIGINT, cancel)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, before)
