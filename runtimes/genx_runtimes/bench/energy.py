"""Energy from the counters that machines have; what cannot be read is not available, never 0.

Sources: Linux, "Power Capping Framework" (`energy_uj` of each `intel-rapl:N`, which wraps at
`max_energy_range_uj`; AMD's processors are listed there too); NVML,
`nvmlDeviceGetTotalEnergyConsumption` (millijoules since the driver was loaded; not on Jetson); the
kernel's hwmon interface for the INA3221 (`in*_input` in mV, `curr*_input` in mA), whose readings
are integrated here by the trapezoidal rule.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from genx_runtimes.nvidia import load_nvml
from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_PERIOD_S = 0.02
_TOTAL_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")


class Meter(Protocol):
    """Something that counts energy."""

    @property
    def name(self) -> str:
        """What is counted, and by what."""
        ...

    @property
    def keeps_up(self) -> bool:
        """Whether it counts what some milliseconds took, not an average over many."""
        ...

    def start(self) -> None:
        """Begin to count.

        Raises:
            OSError: the counter cannot be read.
        """
        ...

    def stop(self) -> float:
        """Return the joules since `start`.

        Raises:
            OSError: the counter could not be read, now or meanwhile.
        """
        ...


class RaplMeter:
    """The packages of an x86 processor; the counters wrap."""

    keeps_up = True

    def __init__(self, zones: list[Path]) -> None:
        self.name = f"RAPL, {', '.join(read_text(zone / 'name') for zone in zones)}"
        self._zones = zones
        self._before: list[int] = []

    def start(self) -> None:
        """Begin to count."""
        self._before = self._read()

    def stop(self) -> float:
        """Return the joules since `start`."""
        total = 0
        for zone, before, after in zip(self._zones, self._before, self._read(), strict=True):
            wrapped = _read_number(zone / "max_energy_range_uj") if after < before else 0
            total += after - before + wrapped
        return total / 1e6

    def _read(self) -> list[int]:
        return [_read_number(zone / "energy_uj") for zone in self._zones]


class NvmlMeter:
    """An NVIDIA GPU's own counter."""

    keeps_up = False

    def __init__(self, name: str, read_mj: Callable[[], int]) -> None:
        self.name = f"NVML, {name}"
        self._read = read_mj
        self._before = 0

    def start(self) -> None:
        """Begin to count."""
        self._before = self._read()

    def stop(self) -> float:
        """Return the joules since `start`."""
        return (self._read() - self._before) / 1e3


class RailMeter:
    """Power rails of a Jetson, read fifty times a second in a thread of its own."""

    keeps_up = False

    def __init__(self, rails: list[tuple[str, Path, Path]]) -> None:
        self.name = f"INA3221, {' + '.join(label for label, _, _ in rails)}"
        self._rails = rails
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._joules = 0.0
        self._failure: OSError | None = None

    def start(self) -> None:
        """Begin to count."""
        self._joules, self._failure = 0.0, None
        self._ended.clear()
        self._thread = threading.Thread(target=self._integrate, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return the joules since `start`."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._joules

    def _integrate(self) -> None:
        try:
            self._add_up()
        except OSError as err:
            self._failure = err

    def _add_up(self) -> None:
        watts, at = self._read_watts(), time.monotonic()
        while True:
            last = self._ended.wait(_PERIOD_S)
            now, then = self._read_watts(), time.monotonic()
            self._joules += (watts + now) / 2 * (then - at)
            watts, at = now, then
            if last:
                return

    def _read_watts(self) -> float:
        return sum(_read_number(mv) * _read_number(ma) / 1e6 for _, mv, ma in self._rails)


def _read_number(path: Path) -> int:
    """Return what a counter holds.

    Raises:
        OSError: it cannot be read, or holds no number.
    """
    text = path.read_text()
    try:
        return int(text)
    except ValueError as err:
        raise OSError(errno.EIO, f"holds no number: {text.strip()!r}", str(path)) from err


class Reading:
    """Meters that count at the same time; what cannot be read is not available.

    Attributes:
        joules: of each meter that could always be read, over every stretch that was counted.
        reasons: why others could not.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.reasons: list[str] = []
        self.joules = {meter.name: 0.0 for meter in meters}
        self._meters = list(meters)

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count while the body runs."""
        self._try(lambda meter: meter.start())
        yield
        self._try(self._add)

    def _add(self, meter: Meter) -> None:
        self.joules[meter.name] += meter.stop()

    def _try(self, do: Callable[[Meter], None]) -> None:
        """Do it with every meter; one that cannot be read is left out from then on."""
        for meter in [*self._meters]:
            try:
                do(meter)
            except OSError as err:
                self.reasons.append(f"energy is not available: {meter.name}: {err}")
                self._meters.remove(meter)
                del self.joules[meter.name]


def find_meters(root: Path = _ROOT) -> tuple[list[Meter], str]:
    """Return the meters that can be read here, and why there are none.

    Args:
        root: where `sys/` is found; another folder in tests.
    """
    rapl, denied = _find_rapl(root)
    meters: list[Meter] = [*rapl, *_find_rails(root), *_find_gpus()]
    if meters:
        return meters, ""
    if denied:
        return [], f"energy is not available: {denied} can be read by root alone"
    return [], "energy is not available: no RAPL, NVML or INA3221 counter can be read here"


def _find_rapl(root: Path) -> tuple[list[Meter], str]:
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]*"))
    # Of the other zones, cores are parts of a package, and `psys` holds the packages.
    packages = [zone for zone in zones if read_text(zone / "name").startswith("package")]
    denied = ""
    for zone in packages:
        try:
            _read_number(zone / "energy_uj")
        except OSError:
            denied = str(zone / "energy_uj")
    return ([RaplMeter(packages)] if packages and not denied else []), denied


def _find_rails(root: Path) -> list[Meter]:
    rails = []
    for name in (root / "sys/bus/i2c/devices").glob("*/name"):
        if read_text(name) not in ("ina3221", "ina238"):
            continue
        for label in sorted(name.parent.glob("hwmon/hwmon*/in*_label")):
            number = label.name.removeprefix("in").removesuffix("_label")
            volts, amperes = (label.with_name(f"{kind}{number}_input") for kind in ("in", "curr"))
            if read_text(volts).isdecimal() and read_text(amperes).isdecimal():
                rails.append((read_text(label), volts, amperes))
    totals = [rail for rail in rails if rail[0] in _TOTAL_RAILS]
    return [RailMeter(totals or rails)] if rails else []


def _find_gpus() -> list[Meter]:
    nvml = load_nvml()
    if nvml is None:
        return []
    meters: list[Meter] = []
    try:
        nvml.nvmlInit()
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)

            def read(handle: object = handle) -> int:
                try:
                    return nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                except nvml.NVMLError as err:
                    raise OSError(str(err)) from err

            read()  # NVML refuses it on some
            meters.append(NvmlMeter(f"GPU {index}", read))
    except (nvml.NVMLError, OSError):
        return meters
    return meters
