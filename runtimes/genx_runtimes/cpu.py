"""How many cores this process may really use: affinity and the container's quota both count."""

from __future__ import annotations

import math
import os
from pathlib import Path

from genx_runtimes.system_files import read_text

_ROOT = Path("/")


def count_usable_cores(root: Path = _ROOT) -> int:
    """Return the cores to start threads on: physical, allowed by affinity, within the CPU quota.

    An engine's own default counts the machine's cores and, inside a container with a quota,
    starts more threads than may run at a time.

    Args:
        root: where `sys/` is found; another folder in tests.
    """
    allowed = list_allowed_cpus()
    cores = _count_physical(allowed, root)
    quota = read_cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def read_cpu_quota(root: Path = _ROOT) -> float | None:
    """Return the container's CPU quota in cores, or None where there is none.

    Source: Linux cgroup v2 `cpu.max` ("QUOTA PERIOD" in microseconds, or "max"); cgroup v1
    `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`. A group is bounded by its parents too.
    """
    quotas = []
    for folder in list_own_groups(root, ""):
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit():
            quotas.append(int(quota) / int(period))
    for folder in list_own_groups(root, "cpu"):
        legacy = read_text(folder / "cpu.cfs_quota_us")
        period = read_text(folder / "cpu.cfs_period_us")
        if legacy.isdigit() and period.isdigit() and int(legacy) > 0:
            quotas.append(int(legacy) / int(period))
    return min(quotas, default=None)


def list_own_groups(root: Path, controller: str) -> list[Path]:
    """List this process's control group folder and its parents, for v2 ("") or a v1 controller."""
    mount = root / "sys/fs/cgroup" / controller
    folders = [mount]
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            group = mount / path.lstrip("/")
            folders += [f for f in (group, *group.parents) if f.is_relative_to(mount)]
    return list(dict.fromkeys(folders))


def list_allowed_cpus() -> list[int]:
    """Return the hardware threads that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _count_physical(cpus: list[int], root: Path) -> int:
    """Count hardware threads that share a core once."""
    cores = {
        read_text(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        or str(cpu)
        for cpu in cpus
    }
    return max(1, len(cores))
