"""A machine, told in lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genx_runtimes.clocks import Clock
    from genx_runtimes.jetson import Jetson
    from genx_runtimes.machine import Machine
    from genx_runtimes.nvidia import Gpu


def describe_machine(machine: Machine) -> list[tuple[str, str]]:
    """Return a word and a text for each thing that is known."""
    from genx_runtimes.processor import INSTRUCTION_SETS

    limits = [f"{machine.logical_cpus} CPUs, {machine.allowed_cpus} allowed"]
    limits += [f"quota {machine.quota_cores:g}"] if machine.quota_cores is not None else []
    sets = machine.instruction_sets
    lines = [
        ("system", f"{machine.os}, {machine.arch}"),
        ("board", machine.board),
        ("CPU", machine.cpu),
        ("cores", f"{machine.usable_cores} usable ({', '.join(limits)})"),
        (
            "has",
            "unknown instruction sets"
            if sets is None
            else ", ".join(INSTRUCTION_SETS[name] for name in sets) or "no vector extensions",
        ),
        ("memory", _tell_memory(machine)),
        *[("GPU", _tell_gpu(gpu)) for gpu in machine.gpus],
        ("GPU", machine.gpu_note),
        *(_describe_jetson(machine.jetson) if machine.jetson else []),
    ]
    return [(name, text) for name, text in lines if text]


def _describe_jetson(jetson: Jetson) -> list[tuple[str, str]]:
    parts = [f"JetPack {jetson.jetpack.version}", f"L4T {jetson.l4t or 'unknown'}"]
    parts += [jetson.chip] if jetson.chip else []
    if jetson.compute_capability:
        parts.append(f"compute capability {jetson.compute_capability}")
    pack = jetson.jetpack
    brings = [("CUDA", pack.cuda), ("TensorRT", pack.tensorrt), ("Python", pack.python)]
    mode = "unknown" if jetson.power_mode_id is None else f"{jetson.power_mode_id}"
    mode = f"{jetson.power_mode} ({mode})" if jetson.power_mode else mode
    return [
        ("Jetson", ", ".join(parts)),
        ("brings", ", ".join(f"{what} {version}" for what, version in brings if version)),
        ("power", f"mode {mode}"),
        ("clocks", f"GPU {_tell_clocks(jetson.gpu_clocks, jetson.gpu_locked)}"),
        ("clocks", f"CPU {_tell_clocks(jetson.cpu_clocks, jetson.cpu_locked)}"),
        ("swap", _tell_swap(jetson.swap_bytes)),
    ]


def _tell_clocks(clocks: Sequence[Clock], locked: bool | None) -> str:
    if locked is None:
        return "unknown"
    ranges = dict.fromkeys((clock.min_mhz, clock.max_mhz) for clock in clocks)
    told = " and ".join(f"{a:g}" if a == b else f"{a:g} to {b:g}" for a, b in ranges)
    return f"{told} MHz, " + ("locked" if locked else "not locked: sudo jetson_clocks locks them")


def _tell_memory(machine: Machine) -> str:
    if machine.memory_bytes is None:
        return "unknown"
    free = machine.available_bytes
    return (
        f"{machine.memory_bytes / 2**30:.1f} GiB"
        + (f", {free / 2**30:.1f} GiB available" if free is not None else "")
        + (", shared by CPU and GPU" if machine.jetson else "")
    )


def _tell_swap(swap: int | None) -> str:
    if swap is None:
        return "unknown"
    return f"{swap / 2**30:.1f} GiB" if swap else "none"


def _tell_gpu(gpu: Gpu) -> str:
    parts = [gpu.name]
    parts += [f"{gpu.memory_mib / 1024:.1f} GiB"] if gpu.memory_mib is not None else []
    parts += [f"compute capability {gpu.compute_capability}"] if gpu.compute_capability else []
    parts += [f"driver {gpu.driver}"] if gpu.driver else []
    return ", ".join(parts)
