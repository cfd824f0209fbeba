"""What is on the disk, and what this machine is: what stands beside the figures."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from genx_runtimes.bench.record import Benched, Device
from genx_runtimes.bundle import Bundle
from genx_runtimes.clocks import are_locked, read_cpu_clocks, read_gpu_clocks
from genx_runtimes.machine import describe_machine
from genx_runtimes.system_files import read_text

_ROOT = Path("/")


def describe_device(root: Path = _ROOT) -> Device:
    """Return the fingerprint of this machine.

    Args:
        root: where `proc/` and `sys/` are found; another folder in tests.
    """
    machine = describe_machine(root)
    governors = {
        read_text(path)
        for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    }
    mode = machine.jetson.power_mode if machine.jetson else ", ".join(sorted(governors))
    return Device(
        cpu=machine.cpu,
        arch=machine.arch,
        board=machine.board,
        usable_cores=machine.usable_cores,
        logical_cpus=machine.logical_cpus,
        instruction_sets=machine.instruction_sets,
        memory_bytes=machine.memory_bytes,
        os=machine.os,
        gpus=tuple(gpu.name for gpu in machine.gpus),
        power_mode=mode,
        clocks_locked=are_locked((*read_cpu_clocks(root), *read_gpu_clocks(root))),
    )


def describe_bundle(bundle: Bundle) -> Benched:
    """Return what a report says of a bundle."""
    return Benched(name=bundle.manifest.name, digest=bundle.digest, bytes=measure_size(bundle.path))


def measure_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def measure_graphs(bundle: Bundle, variant: str | None) -> int:
    """Return the bytes of the graphs that sampling loads."""
    graphs = bundle.variant(variant).graphs
    return sum(graphs[name].bytes for name in bundle.manifest.sampler.components)


@lru_cache
def measure_installed(*names: str) -> int | None:
    """Return the bytes on disk of packages and all that they need, extras not counted.

    Args:
        names: of distributions, such as "genx".

    Returns:
        None where one is not installed as a distribution of that name.
    """
    known: dict[str, Distribution] = {}
    try:
        for name in names:
            _collect(name, known)
    except PackageNotFoundError:
        return None
    total = 0
    for found in known.values():
        places = (Path(str(found.locate_file(file))) for file in found.files or ())
        total += sum(place.stat().st_size for place in places if place.is_file())
    return total


def _collect(name: str, known: dict[str, Distribution]) -> None:
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in known:
        return
    known[key] = found = distribution(name)
    for text in found.requires or ():
        requirement, _, marker = text.partition(";")
        match = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
        if match is None or "extra ==" in marker:
            continue
        try:
            _collect(match[0], known)
        except PackageNotFoundError:
            continue  # a requirement of other systems
