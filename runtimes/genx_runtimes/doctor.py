"""What works on this machine, tried out rather than looked up, and how to get what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from genx_runtimes.advice import Advice, advise
from genx_runtimes.backends import BACKENDS, Backend
from genx_runtimes.backends.onnxruntime_devices import list_packages
from genx_runtimes.bundle import Bundle
from genx_runtimes.child import Outcome, read_answer, run_child
from genx_runtimes.machine import Machine, describe_machine
from genx_runtimes.nvidia import AskGpus, ask_gpus
from genx_runtimes.probe import Finding
from genx_runtimes.recommend import CUDA, Recommendation, recommend
from genx_runtimes.version import __version__

# What `genx[export]` brings; a test compares it with the package's own metadata.
EXPORT_PACKAGES = ("torch", "onnx", "onnx-ir", "onnxscript", "safetensors")
PROVIDER_PACKAGES = list_packages()
_ROOT = Path("/")
_PROBE_TIMEOUT_S = 60.0
# Always there and tried with the engine itself; and one that calls a web service.
_NOT_TRIED_APART = ("CPUExecutionProvider", "AzureExecutionProvider")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCheck:
    """One engine, or one of onnxruntime's providers, after it was asked to run a graph.

    Args:
        backend: as in `--backend`.
        provider: onnxruntime's execution provider; "" for the engine's default.
        version: the engine's version; "" if unknown.
        works: whether a one-node graph ran and gave the right result.
        reason: why not.
    """

    backend: str
    provider: str
    version: str
    works: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the export side; `version` is None where it is not installed."""

    name: str
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """What `examine` found.

    Args:
        genx: the version.
        machine: what the machine is.
        engines: what was tried.
        providers: all that this onnxruntime was built with.
        export_packages: what export needs; looked up, not imported.
        advice: how to get what is missing.
        recommendations: how to run the bundles that were given.
    """

    genx: str
    machine: Machine
    engines: tuple[EngineCheck, ...]
    providers: tuple[str, ...]
    export_packages: tuple[Package, ...]
    advice: tuple[Advice, ...]
    recommendations: tuple[Recommendation, ...]

    @property
    def can_sample(self) -> bool:
        """Whether some engine works."""
        return any(engine.works for engine in self.engines)

    @property
    def can_export(self) -> bool:
        """Whether all that export needs is installed."""
        return all(package.version is not None for package in self.export_packages)


Probe = Callable[[str, str], Outcome]


def probe_engine(backend: str, provider: str = "") -> Outcome:
    """Let a process of its own run a graph, so that an engine that crashes is only reported."""
    command = (sys.executable, "-m", "genx_runtimes.probe", backend, provider)
    return run_child(command, timeout_s=_PROBE_TIMEOUT_S)


def examine(
    root: Path = _ROOT,
    *,
    bundles: Sequence[Bundle] = (),
    backends: Sequence[Backend] = BACKENDS,
    probe: Probe = probe_engine,
    ask_gpus: AskGpus = ask_gpus,
) -> DoctorReport:
    """Describe the machine and try every engine on it.

    Args:
        root: where `proc/`, `sys/`, `etc/` and `var/` are found; another folder in tests.
        bundles: to say how each should run.
        backends: the engines; those that need no package compute nothing and are left out.
        probe: runs a graph on a backend and provider.
        ask_gpus: returns the GPUs and a note.
    """
    machine = describe_machine(root, ask_gpus=ask_gpus)
    engines: list[EngineCheck] = []
    providers: tuple[str, ...] = ()
    for backend in backends:
        if not backend.requires:
            continue
        if not backend.is_installed():
            engines.append(_reject(backend.name, "", f"{backend.requires} is not installed"))
            continue
        check, finding = _try_engine(backend.name, "", probe)
        engines.append(check)
        for provider in finding.providers:
            if provider not in _NOT_TRIED_APART:
                engines.append(_try_engine(backend.name, provider, probe)[0])
        providers += finding.providers
    packages = tuple(Package(name=n, version=_find_version(n)) for n in EXPORT_PACKAGES)
    missing = [package.name for package in packages if package.version is None]
    working, sets = _list_working(engines), machine.instruction_sets or ()
    return DoctorReport(
        genx=__version__,
        machine=machine,
        engines=tuple(engines),
        providers=providers,
        export_packages=packages,
        advice=advise(machine, backends=backends, providers=providers, export_packages=missing),
        recommendations=tuple(
            r for b in bundles for r in recommend(b, working=working, instruction_sets=sets)
        ),
    )


def _try_engine(backend: str, provider: str, probe: Probe) -> tuple[EngineCheck, Finding]:
    nothing = Finding(version="", providers=())
    finding = read_answer(probe(backend, provider), Finding, missing="gave no usable answer")
    if isinstance(finding, str):
        return _reject(backend, provider, finding), nothing
    check = EngineCheck(backend=backend, provider=provider, version=finding.version, works=True)
    return check, finding


def _list_working(engines: Sequence[EngineCheck]) -> frozenset[str]:
    """Return the names of the backends that work, onnxruntime on the GPU by a name of its own."""
    names = {e.backend for e in engines if e.works and not e.provider}
    if any(e.works and e.provider == "CUDAExecutionProvider" for e in engines):
        names.add(CUDA)
    return frozenset(names)


def _reject(backend: str, provider: str, reason: str) -> EngineCheck:
    return EngineCheck(backend=backend, provider=provider, version="", works=False, reason=reason)


def _find_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
