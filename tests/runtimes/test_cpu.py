from __future__ import annotations

import os
from pathlib import Path

import pytest

from genx_runtimes.cpu import count_usable_cores, read_cpu_quota


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    return root


def siblings(*groups: str) -> dict[str, str]:
    """Return the topology files of CPUs 0, 1, ...; each is given its group of hardware threads."""
    base = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {base.format(cpu): group for cpu, group in enumerate(groups)}


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    return monkeypatch


def test_hardware_threads_of_a_core_count_once(tmp_path: Path, allow: pytest.MonkeyPatch) -> None:
    write(tmp_path, siblings("0,2", "1,3", "0,2", "1,3"))
    assert count_usable_cores(tmp_path) == 2


def test_affinity_leaves_out_cores(tmp_path: Path, allow: pytest.MonkeyPatch) -> None:
    write(tmp_path, siblings("0-1", "0-1", "2-3", "2-3"))
    assert count_usable_cores(tmp_path) == 2
    allow.setattr(os, "sched_getaffinity", lambda _: {2, 3})
    assert count_usable_cores(tmp_path) == 1


def test_without_a_topology_each_cpu_is_a_core(tmp_path: Path, allow: pytest.MonkeyPatch) -> None:
    assert count_usable_cores(tmp_path) == 4


def test_where_affinity_is_unknown_all_cpus_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert count_usable_cores(tmp_path) == 6


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("250000 100000", 3), ("50000 100000", 1), ("max 100000", 4), ("900000 100000", 4)],
)
def test_a_quota_bounds_the_cores(
    tmp_path: Path, allow: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    write(tmp_path, {"sys/fs/cgroup/cpu.max": quota})
    assert count_usable_cores(tmp_path) == cores


def test_no_quota(tmp_path: Path) -> None:
    assert read_cpu_quota(tmp_path) is None
    write(tmp_path, {"sys/fs/cgroup/cpu.max": "max 100000", "proc/self/cgroup": "0::/"})
    assert read_cpu_quota(tmp_path) is None


def test_the_tightest_group_up_to_the_root_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/box",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000",
            "sys/fs/cgroup/pod/box/cpu.max": "300000 100000",
            "sys/fs/cgroup/other/cpu.max": "10000 100000",
        },
    )
    assert read_cpu_quota(tmp_path) == 1.5


def test_version_one_groups(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "70000",
            "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "50000",
        },
    )
    assert read_cpu_quota(tmp_path) == 1.4
