from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genx_runtimes.bench.conditions import Glimpse, compare, look, take_worst
from genx_runtimes.bench.rows import list_disturbances, list_notices
from genx_runtimes.cpu import list_allowed_cpus

CALM = Glimpse(
    waiting_ns=0, own_s=0.0, busy_s=0.0, stolen_s=0.0, mhz=2000.0, celsius=40.0, throttles=3
)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_nothing_is_told_where_there_is_nothing(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert replace(found, own_s=0.0) == Glimpse(
        waiting_ns=None,
        own_s=0.0,
        busy_s=None,
        stolen_s=None,
        mhz=None,
        celsius=None,
        throttles=None,
    )
    seen = compare(found, found, wall_ns=10**9, threads=2)
    assert (seen.waiting, seen.others, seen.stolen, seen.throttled) == (None, None, None, None)
    assert list_disturbances(seen) == []


def test_what_linux_tells_is_read(tmp_path: Path) -> None:
    first, *_ = list_allowed_cpus()
    write(tmp_path, "proc/self/task/10/schedstat", "500 70 3")
    write(tmp_path, "proc/self/task/11/schedstat", "900 30 8")
    write(tmp_path, "proc/stat", f"cpu  9 9 9 9 9 9 9 9 0 0\ncpu{first} 100 10 20 999 5 1 2 40 0 0")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48500")
    write(tmp_path, "sys/class/hwmon/hwmon1/temp2_input", "51000")
    cpu = f"sys/devices/system/cpu/cpu{first}"
    write(tmp_path, f"{cpu}/cpufreq/scaling_cur_freq", "1800000")
    write(tmp_path, f"{cpu}/thermal_throttle/core_throttle_count", "4")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 3")
    found = look(tmp_path)
    assert (found.waiting_ns, found.busy_s, found.stolen_s) == (
        100,
        pytest.approx(1.33),
        pytest.approx(0.4),
    )
    assert (found.mhz, found.celsius, found.throttles) == (1800.0, 51.0, 7)


@pytest.mark.parametrize(
    ("line", "folder"),
    [("0::/pod/box", "sys/fs/cgroup/pod/box"), ("4:cpu,cpuacct:/box", "sys/fs/cgroup/cpu/box")],
)
def test_the_process_own_group_is_looked_at(tmp_path: Path, line: str, folder: str) -> None:
    write(tmp_path, "proc/self/cgroup", line)
    write(tmp_path, f"{folder}/cpu.stat", "nr_periods 9\nnr_throttled 5")
    assert look(tmp_path).throttles == 5
    write(tmp_path, str(Path(folder).parent / "cpu.stat"), "nr_periods 9\nnr_throttled 2")
    assert look(tmp_path).throttles == 7


def test_a_clock_that_fell_is_a_notice_and_no_disturbance() -> None:
    slower = compare(CALM, replace(CALM, mhz=1700.0), wall_ns=10**9, threads=1)
    assert list_notices(slower) == ["the clock fell from 2000 to 1700 MHz while it was timed"]
    assert list_disturbances(slower) == []
    for mhz in (1900.0, 2500.0, None):
        found = compare(CALM, replace(CALM, mhz=mhz), wall_ns=10**9, threads=1)
        assert list_notices(found) == []
    assert list_notices(None) == []


def test_the_clock_is_taken_from_cpuinfo_where_there_is_no_cpufreq(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "cpu MHz\t\t: 2500.5\ncpu MHz\t\t: 2600.5")
    assert look(tmp_path).mhz == 2550.5


def test_others_are_what_was_busy_and_not_this_process() -> None:
    cores = len(list_allowed_cpus())
    after = replace(CALM, own_s=1.0, busy_s=1.0 + 0.5 * cores, stolen_s=0.1 * cores, throttles=4)
    seen = compare(CALM, after, wall_ns=10**9, threads=1)
    assert seen.others == pytest.approx(0.5)
    assert seen.stolen == pytest.approx(0.1)
    assert seen.throttled
    assert [text.split()[0] for text in list_disturbances(seen)] == ["other", "the", "the"]


def test_a_quiet_machine_is_no_disturbance() -> None:
    cores = len(list_allowed_cpus())
    after = replace(CALM, own_s=1.9, busy_s=1.9 + 0.02 * cores, waiting_ns=10_000_000)
    assert list_disturbances(compare(CALM, after, wall_ns=10**9, threads=2)) == []


def test_waiting_is_a_share_of_all_threads() -> None:
    after = replace(CALM, waiting_ns=200)
    assert compare(CALM, after, wall_ns=1000, threads=2).waiting == pytest.approx(0.1)
    # A thread has ended, and what it waited is gone.
    assert compare(after, CALM, wall_ns=1000, threads=2).waiting == 0


def test_the_worst_round_counts() -> None:
    calm = compare(CALM, CALM, wall_ns=10**9, threads=1)
    hot = compare(CALM, replace(CALM, celsius=90.0, mhz=900.0), wall_ns=10**9, threads=1)
    worst = take_worst([calm, hot])
    assert worst is not None
    assert (worst.celsius_after, worst.mhz_after, worst.mhz_before) == (90.0, 900.0, 2000.0)
    assert take_worst([]) is None
