"""What the machine did while it was measured: who else had the cores, clocks, temperature.

A program beside the benchmark slows threads that wait for one another many times over, some engines
far more than others; figures taken so say little, and a ratio of two of them nothing.

Sources: Linux, Documentation/scheduler/sched-stats.rst (the second field of `schedstat` is the time
spent waiting to run, in nanoseconds); proc(5), `/proc/stat`; "CPU Performance Scaling" (cpufreq,
kHz); "Generic Thermal Sysfs driver" (millidegrees Celsius); `thermal_throttle` of x86's
therm_throt.c; cgroup v2 and v1, `cpu.stat` (`nr_throttled`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.bench.figures import Conditions
from genx_runtimes.cpu import list_allowed_cpus, list_own_groups
from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_TICK_S = 0.01  # /proc/stat counts in USER_HZ, which is 100 on every Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """Counters and sensors at one moment; None is unknown.

    Args:
        waiting_ns: how long threads of this process were ready but had no core, summed.
        own_s: CPU time of this process.
        busy_s: CPU time of all programs on the allowed cores.
        stolen_s: CPU time of these cores that the hypervisor gave to others.
        mhz: the mean clock of the allowed cores.
        celsius: the hottest sensor.
        throttles: how often the system says it held a core or this container back.
    """

    waiting_ns: int | None
    own_s: float
    busy_s: float | None
    stolen_s: float | None
    mhz: float | None
    celsius: float | None
    throttles: int | None


def look(root: Path = _ROOT) -> Glimpse:
    """Read counters and sensors.

    Args:
        root: where `proc/` and `sys/` are found; another folder in tests.
    """
    cpus = list_allowed_cpus()
    busy, stolen = _read_times(cpus, root)
    times = os.times()
    return Glimpse(
        waiting_ns=_read_waiting(root),
        own_s=times.user + times.system,
        busy_s=busy,
        stolen_s=stolen,
        mhz=_read_mhz(cpus, root),
        celsius=_read_celsius(root),
        throttles=_read_throttles(cpus, root),
    )


def compare(before: Glimpse, after: Glimpse, *, wall_ns: int, threads: int) -> Conditions:
    """Return what happened between two glimpses.

    Args:
        before: at the start of the timing.
        after: at its end.
        wall_ns: nanoseconds between them.
        threads: engine threads.
    """
    wall_s = max(wall_ns, 1) / 1e9
    cores = len(list_allowed_cpus())
    waited = _less(after.waiting_ns, before.waiting_ns)
    busy, stolen = _less(after.busy_s, before.busy_s), _less(after.stolen_s, before.stolen_s)
    own = after.own_s - before.own_s
    throttles = _less(after.throttles, before.throttles)
    return Conditions(
        # A thread that has ended takes its waiting with it, and ticks are coarse: not below 0.
        waiting=None if waited is None else max(0.0, waited / 1e9 / (wall_s * max(threads, 1))),
        others=None if busy is None else max(0.0, (busy - own) / (wall_s * cores)),
        stolen=None if stolen is None else stolen / (wall_s * cores),
        mhz_before=before.mhz,
        mhz_after=after.mhz,
        celsius_before=before.celsius,
        celsius_after=after.celsius,
        throttled=None if throttles is None else throttles > 0,
    )


def take_worst(found: Iterable[Conditions]) -> Conditions | None:
    """Return the worst of several rounds; None where there are none."""
    rounds = list(found)
    if not rounds:
        return None
    told = [r.throttled for r in rounds if r.throttled is not None]
    return Conditions(
        waiting=_highest(r.waiting for r in rounds),
        others=_highest(r.others for r in rounds),
        stolen=_highest(r.stolen for r in rounds),
        mhz_before=_highest(r.mhz_before for r in rounds),
        mhz_after=min((r.mhz_after for r in rounds if r.mhz_after is not None), default=None),
        celsius_before=_highest(r.celsius_before for r in rounds),
        celsius_after=_highest(r.celsius_after for r in rounds),
        throttled=any(told) if told else None,
    )


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _read_waiting(root: Path) -> int | None:
    total = None
    for file in (root / "proc/self/task").glob("*/schedstat"):
        fields = read_text(file).split()  # empty: the thread has ended
        if len(fields) == 3:
            total = (total or 0) + int(fields[1])
    return total


def _read_times(cpus: Iterable[int], root: Path) -> tuple[float | None, float | None]:
    """Return busy and stolen seconds: user, nice, system, irq, softirq; and steal."""
    text = read_text(root / "proc/stat")
    lines = {int(number): fields for number, fields in re.findall(r"^cpu(\d+) (.*)$", text, re.M)}
    found = [[int(field) for field in lines[cpu].split()] for cpu in cpus if cpu in lines]
    if not found or any(len(fields) < 8 for fields in found):
        return None, None
    busy = sum(f[0] + f[1] + f[2] + f[5] + f[6] for f in found)
    return busy * _TICK_S, sum(f[7] for f in found) * _TICK_S


def _read_mhz(cpus: Iterable[int], root: Path) -> float | None:
    folder = root / "sys/devices/system/cpu"
    texts = [read_text(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq") for cpu in cpus]
    values = [int(text) / 1000 for text in texts if text.isdecimal()]
    if not values:
        shown = re.findall(r"^cpu MHz\s*: ([\d.]+)$", read_text(root / "proc/cpuinfo"), re.M)
        values = [float(text) for text in shown]
    return sum(values) / len(values) if values else None


def _read_celsius(root: Path) -> float | None:
    places = [*(root / "sys/class/thermal").glob("thermal_zone*/temp")]
    places += (root / "sys/class/hwmon").glob("hwmon*/temp*_input")
    texts = [read_text(place) for place in places]
    return max((int(text) / 1000 for text in texts if text.isdecimal()), default=None)


def _read_throttles(cpus: Iterable[int], root: Path) -> int | None:
    folder = root / "sys/devices/system/cpu"
    names = ("core_throttle_count", "package_throttle_count")
    texts = [read_text(folder / f"cpu{cpu}/thermal_throttle/{n}") for cpu in cpus for n in names]
    # A group is held back with its parents; version 1 keeps the counter with the controller.
    for group in dict.fromkeys((*list_own_groups(root, ""), *list_own_groups(root, "cpu"))):
        texts += re.findall(r"^nr_throttled (\d+)$", read_text(group / "cpu.stat"), re.M)
    counts = [int(text) for text in texts if text.isdecimal()]
    return sum(counts) if counts else None
