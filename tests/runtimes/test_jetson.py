"""JetPack, power mode and clocks, on trees of Jetsons."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.runtimes.machines import (
    ORIN_AGX,
    ORIN_NANO,
    RASPBERRY_PI_5,
    RTX_DESKTOP,
    THOR,
    VM,
    XAVIER,
    Tree,
    record,
)

from genx_runtimes.clocks import Clock, read_gpu_clocks
from genx_runtimes.jetson import JETPACKS, JetPack, Jetson, read_jetson


def read(root: Path, tree: Tree, **changes: str) -> Jetson:
    """Read a tree, `name=text` of whose files in etc/ are changed."""
    files = {**tree, **{f"etc/{name}": text for name, text in changes.items()}}
    jetson = read_jetson(record(root, files))
    assert jetson is not None
    return jetson


def clock(name: str, low: float, high: float, now: float) -> Clock:
    return Clock(name=name, min_mhz=low, max_mhz=high, current_mhz=now)


def test_orin_nano_with_free_clocks(tmp_path: Path) -> None:
    assert read(tmp_path, ORIN_NANO) == Jetson(
        board="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        chip="Orin",
        compute_capability="8.7",
        l4t="36.4.3",
        jetpack=JetPack(version="6.2", cuda="12.6", tensorrt="10.3", python="3.10"),
        power_mode_id=1,
        power_mode="25W",
        gpu_clocks=(clock("17000000.gpu", 306, 918, 306),),
        cpu_clocks=(clock("policy0", 729.6, 1344, 960), clock("policy4", 729.6, 1344, 960)),
        gpu_locked=False,
        cpu_locked=False,
        swap_bytes=3901488 * 1024,
    )


def test_orin_agx_after_jetson_clocks(tmp_path: Path) -> None:
    assert read(tmp_path, ORIN_AGX) == Jetson(
        board="NVIDIA Jetson AGX Orin Developer Kit",
        chip="Orin",
        compute_capability="8.7",
        l4t="36.4.4",
        jetpack=JetPack(version="6.2.1", cuda="12.6", tensorrt="10.3", python="3.10"),
        power_mode_id=0,
        power_mode="MAXN",
        gpu_clocks=(clock("17000000.gpu", 1300.5, 1300.5, 1300.5),),
        cpu_clocks=tuple(clock(f"policy{n}", 2201.6, 2201.6, 2201.6) for n in (0, 4, 8)),
        gpu_locked=True,
        cpu_locked=True,
        swap_bytes=32165056 * 1024,
    )


def test_xavier_is_known_by_its_chip(tmp_path: Path) -> None:
    assert read(tmp_path, XAVIER) == Jetson(
        board="Jetson-AGX",
        chip="Xavier",
        compute_capability="7.2",
        l4t="35.5.0",
        jetpack=JetPack(version="5.1.3", cuda="11.4", tensorrt="8.5.2", python="3.8"),
        power_mode_id=3,
        power_mode="MODE_30W_ALL",
        gpu_clocks=(clock("17000000.gv11b", 114.75, 905.25, 114.75),),
        cpu_clocks=tuple(clock(f"policy{n}", 1190.4, 1190.4, 1190.4) for n in (0, 2, 4, 6)),
        gpu_locked=False,
        cpu_locked=True,
        swap_bytes=15909872 * 1024,
    )


def test_thor(tmp_path: Path) -> None:
    assert read(tmp_path, THOR) == Jetson(
        board="NVIDIA Jetson AGX Thor Developer Kit",
        chip="Thor",
        compute_capability="11.0",
        l4t="38.4.0",
        jetpack=JetPack(version="7.1", cuda="13.0", tensorrt="10.13", python="3.12"),
        power_mode_id=1,
        power_mode="120W",
        gpu_clocks=(clock("gpu-gpc-0", 315, 1386, 315),),
        cpu_clocks=(clock("policy0", 972, 2601, 972),),
        gpu_locked=False,
        cpu_locked=False,
        swap_bytes=0,
    )


@pytest.mark.parametrize("tree", [RASPBERRY_PI_5, RTX_DESKTOP, VM, {}])
def test_other_machines_are_none(tmp_path: Path, tree: Tree) -> None:
    assert read_jetson(record(tmp_path, tree)) is None


@pytest.mark.parametrize(
    ("release", "l4t"),
    [
        ("# R36 (release), REVISION: 4.9, GCID: 1, BOARD: generic\n", "36.4.9"),
        ("# R99 (release), REVISION: 1.0, GCID: 1\n", "99.1.0"),
        ("# R00 (debug)\n", ""),
        ("\n", ""),
    ],
)
def test_a_release_that_is_not_in_the_table_is_not_guessed(
    tmp_path: Path, release: str, l4t: str
) -> None:
    jetson = read(tmp_path, ORIN_NANO, nv_tegra_release=release)
    assert (jetson.l4t, jetson.jetpack) == (l4t, JetPack(version="unknown"))


def test_in_a_container_the_device_tree_alone_tells(tmp_path: Path) -> None:
    tree = {name: text for name, text in ORIN_NANO.items() if name.startswith("proc/device-tree")}
    assert read(tmp_path, tree) == Jetson(
        board=ORIN_NANO["proc/device-tree/model"].rstrip("\0"),
        chip="Orin",
        compute_capability="8.7",
        l4t="",
        jetpack=JetPack(version="unknown"),
        power_mode_id=None,
        power_mode="",
        gpu_clocks=(),
        cpu_clocks=(),
        gpu_locked=None,
        cpu_locked=None,
        swap_bytes=None,
    )


@pytest.mark.parametrize(
    ("model", "chip"),
    [
        ("NVIDIA Jetson Xavier NX Developer Kit", ("Xavier", "7.2")),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", ("Orin", "8.7")),
        ("NVIDIA Jetson AGX Thor Developer Kit", ("Thor", "11.0")),
        ("NVIDIA Jetson Nano Developer Kit", ("", "")),
    ],
)
def test_the_name_tells_the_chip_where_nothing_else_does(
    tmp_path: Path, model: str, chip: tuple[str, str]
) -> None:
    jetson = read(tmp_path, {"proc/device-tree/model": f"{model}\0"})
    assert (jetson.chip, jetson.compute_capability) == chip


@pytest.mark.parametrize(
    ("status", "config", "mode"),
    [
        ("pmode:0002\n", ORIN_NANO["etc/nvpmodel.conf"], (2, "MAXN_SUPER")),
        ("pmode:0002\n", "", (2, "")),
        ("pmode:0010\n", "< POWER_MODEL ID=1 NAME=A >\n< POWER_MODEL ID=10 NAME=B >\n", (10, "B")),
        ("pmode:0001\n", "# < POWER_MODEL ID=1 NAME=A >\n", (1, "")),
        ("", ORIN_NANO["etc/nvpmodel.conf"], (None, "")),
    ],
)
def test_power_mode(tmp_path: Path, status: str, config: str, mode: tuple[int | None, str]) -> None:
    tree = {**ORIN_NANO, "var/lib/nvpmodel/status": status, "etc/nvpmodel.conf": config}
    jetson = read(tmp_path, tree)
    assert (jetson.power_mode_id, jetson.power_mode) == mode


def test_one_group_of_cores_that_may_still_change_is_not_locked(tmp_path: Path) -> None:
    policy = "sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq"
    assert read(tmp_path, {**ORIN_AGX, policy: "729600\n"}).cpu_locked is False


def test_a_clock_without_a_current_value_still_has_limits(tmp_path: Path) -> None:
    folder = "sys/devices/platform/bus@0/17000000.gpu/devfreq/17000000.gpu"
    root = record(tmp_path, {f"{folder}/min_freq": "1000000", f"{folder}/max_freq": "2000000"})
    expected = Clock(name="17000000.gpu", min_mhz=1, max_mhz=2, current_mhz=None)
    assert read_gpu_clocks(root) == (expected,)


def test_what_is_not_confirmed_is_empty() -> None:
    assert JETPACKS["36.3.0"] == JetPack(version="6.0", python="3.10")
    assert all(pack.version and pack.python for pack in JETPACKS.values())
