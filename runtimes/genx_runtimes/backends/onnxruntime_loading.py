"""Loading a graph into onnxruntime on the device asked for, or saying where it runs instead.

onnxruntime moves work to the CPU in four ways: it leaves out a provider that does not load, it
creates a session again without the one that failed, it does so during a run, and it gives nodes
that a provider cannot run to the CPU. None of them happens here unless `allow_fallback` is set, and
then `tell` is called with what happened.

Source: onnxruntime's `InferenceSession` (`enable_fallback`, `get_provider_graph_assignment_info`),
its option `session.disable_cpu_ep_fallback`, and its guide to plugin execution provider libraries.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import onnxruntime as ort

from genx_runtimes.backends.onnxruntime_devices import CPU, Device, choose_devices
from genx_runtimes.backends.onnxruntime_settings import Graph
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendError, BackendUnavailableError
from genx_runtimes.session import SessionOptions


def load_graph(graph: Graph, batch: int | None = None) -> ort.InferenceSession:
    """Load a graph on the devices that its options name.

    Args:
        graph: what to load.
        batch: the only batch size it will run at; None for any.

    Raises:
        BackendUnavailableError: a provider is not in this build, or does not load.
        BackendError: a provider refuses the graph, or nodes of it.
    """
    options = graph.options
    asked = choose_devices(options)[0]
    devices = list(_keep_available(options))
    while True:
        try:
            session = _create(graph, devices, batch)
            break
        except BackendError as err:
            if not options.allow_fallback or len(devices) == 1:
                raise
            options.tell(f"{err.message}; trying {devices[1].provider}")
            devices = devices[1:]
    got = session.get_providers()
    for device in devices:
        if device.provider not in got:
            message = f"onnxruntime did not load {device.provider}; it would run on {' '.join(got)}"
            if not options.allow_fallback:
                raise BackendUnavailableError(message, fix="genx doctor shows what works here")
            options.tell(message.replace("would run", "runs"))
    if options.allow_fallback:
        _tell_nodes(options, session, asked)
    return session


def _keep_available(options: SessionOptions) -> Iterator[Device]:
    """Yield the devices whose providers are here; without `allow_fallback` all must be."""
    for device in choose_devices(options):
        absence = _explain_absence(device)
        if absence is None:
            yield device
        elif not options.allow_fallback:
            raise absence
        else:
            options.tell(str(absence))


def _explain_absence(device: Device) -> BackendUnavailableError | None:
    """Return why a provider cannot be had here, None if it can."""
    available = ort.get_available_providers()
    if not (device.plugin and find_spec(device.plugin) is not None):
        if device.provider in available:
            return None
        reason = f"this onnxruntime has no {device.provider}; it has {', '.join(available)}"
        return BackendUnavailableError(reason, fix=device.install)
    if not hasattr(ort, "register_execution_provider_library"):
        reason = f"onnxruntime {ort.__version__} takes no plugins, which {device.package} is"
        return BackendUnavailableError(reason, fix="pip install --upgrade onnxruntime")
    reason = _register(device.plugin, device.provider)
    if not reason and not _find_hardware(device):
        reason = f"{device.package} finds no {device.hardware} here"
    fix = "genx doctor shows what this machine has"
    return BackendUnavailableError(reason, fix=fix) if reason else None


def _find_hardware(device: Device) -> list[ort.OrtEpDevice]:
    """Return the hardware that a registered plugin can use."""
    return [
        found
        for found in ort.get_ep_devices()
        if found.ep_name == device.provider and found.device.type.name == device.hardware
    ]


@cache
def _register(plugin: str, provider: str) -> str:
    """Tell onnxruntime of a plugin, once a process; return why that failed, or ""."""
    try:
        library = import_module(plugin).get_library_path()
        ort.register_execution_provider_library(provider, library)
    except Exception as err:  # onnxruntime's errors share no base, and the plugin's are its own
        return f"onnxruntime {ort.__version__} cannot load {plugin}: {first_line(err)}"
    return ""


def _create(graph: Graph, devices: list[Device], batch: int | None) -> ort.InferenceSession:
    options = graph.options
    settings = _make_settings(graph, devices, batch)
    _prepare(devices)
    first = devices[0]
    providers = None
    if first.plugin and find_spec(first.plugin) is not None:
        settings.add_provider_for_devices(_find_hardware(first)[:1], first.settings(graph))
    else:
        providers = [(device.provider, device.settings(graph)) for device in devices]
    try:
        session = ort.InferenceSession(graph.model, settings, providers, enable_fallback=0)
    except Exception as err:  # onnxruntime's errors share no base but Exception
        upgrade = "pip install --upgrade onnxruntime"
        strict = first.provider != CPU and not options.allow_fallback
        where = "" if first.provider == CPU else f" on {first.provider}"
        raise BackendError(
            f"onnxruntime {ort.__version__} refuses component {graph.component.name!r}{where}: "
            f"{first_line(err)}",
            fix=f"--allow-fallback runs elsewhere what it cannot, or {upgrade}"
            if strict
            else upgrade,
        ) from err
    session.disable_fallback()  # during a run as well
    return session


def _prepare(devices: list[Device]) -> None:
    """Set variables and load the libraries of pip packages that the providers look for."""
    for device in devices:
        for name, value in device.environment:
            os.environ.setdefault(name, value)
        if device.libraries and find_spec(device.libraries) is not None:
            import_module(device.libraries)
    if any(device.preloads for device in devices) and hasattr(ort, "preload_dlls"):
        with redirect_stdout(sys.stderr):  # it prints, and stdout may be JSON
            ort.preload_dlls()


def _make_settings(graph: Graph, devices: list[Device], batch: int | None) -> ort.SessionOptions:
    options = graph.options
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = options.threads or count_usable_cores()
    settings.inter_op_num_threads = 1
    if graph.profile:
        settings.enable_profiling = True
        settings.profile_file_prefix = graph.profile
    if not options.spinning:
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if all(device.provider != CPU for device in devices):
        # Nodes that the asked-for device cannot run must fail here, not move to the CPU unseen.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if options.allow_fallback:
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if any(device.plain_memory for device in devices):
        settings.enable_mem_pattern = False
        settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if batch is not None:
        for symbol in {s.shape[0] for s in graph.component.inputs if isinstance(s.shape[0], str)}:
            settings.add_free_dimension_override_by_name(symbol, batch)
    return settings


def _tell_nodes(options: SessionOptions, session: ort.InferenceSession, asked: Device) -> None:
    """Say how many nodes run elsewhere than asked, as far as onnxruntime tells."""
    if asked.provider not in session.get_providers():
        options.tell(f"nothing runs on {asked.provider}: all on {session.get_providers()[0]}")
        return
    if not hasattr(session, "get_provider_graph_assignment_info"):
        options.tell(
            f"onnxruntime {ort.__version__} does not say which nodes {asked.provider} left to the "
            f"CPU; 1.24 does"
        )
        return
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    for provider, count in counts.items():
        if provider != asked.provider:
            total = sum(counts.values())
            options.tell(f"{count} of {total} nodes run on {provider}, not {asked.provider}")


def first_line(err: Exception) -> str:
    """Return the first line of a vendor's message."""
    return str(err).strip().partition("\n")[0]
