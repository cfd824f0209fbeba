from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from genx_runtimes.bench import energy
from genx_runtimes.bench.case import Measurement
from genx_runtimes.bench.energy import Reading, find_meters
from genx_runtimes.bench.measure import WarmUp
from genx_runtimes.bench.rows import find_energy


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "load_nvml", lambda: None)


def test_nothing_to_read_is_said_and_is_not_zero(tmp_path: Path) -> None:
    meters, reason = find_meters(tmp_path)
    assert meters == []
    assert reason.startswith("energy is not available: no RAPL")


def test_rapl_adds_packages_and_wraps(tmp_path: Path) -> None:
    counters = []
    for package, value in enumerate((900, 100)):
        zone = f"sys/class/powercap/intel-rapl:{package}"
        write(tmp_path, f"{zone}/name", f"package-{package}")
        write(tmp_path, f"{zone}/max_energy_range_uj", "1000")
        counters.append(write(tmp_path, f"{zone}/energy_uj", str(value)))
    platform = "sys/class/powercap/intel-rapl:2"  # holds the packages
    write(tmp_path, f"{platform}/name", "psys")
    write(tmp_path, f"{platform}/energy_uj", "5")
    core = "sys/class/powercap/intel-rapl:0:0"  # part of package 0, which counts it already
    write(tmp_path, f"{core}/name", "core")
    write(tmp_path, f"{core}/energy_uj", "5")
    (meter,), reason = find_meters(tmp_path)
    assert (meter.name, reason) == ("RAPL, package-0, package-1", "")
    meter.start()
    counters[0].write_text("50\n")  # 150 on, around the end
    counters[1].write_text("350\n")
    assert meter.stop() == pytest.approx((150 + 250) / 1e6)


def test_a_counter_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    write(tmp_path, "sys/class/powercap/intel-rapl:0/name", "package-0")
    (zone / "energy_uj").mkdir()  # reading it fails, for root too
    meters, reason = find_meters(tmp_path)
    assert meters == []
    assert f"{zone / 'energy_uj'} can be read by root alone" in reason


def test_rails_of_a_jetson_are_integrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []

    def tick() -> float:
        seconds.append(0.5 * len(seconds))
        return seconds[-1]

    monkeypatch.setattr(energy, "time", SimpleNamespace(monotonic=tick))
    device = "sys/bus/i2c/devices/1-0040"
    write(tmp_path, f"{device}/name", "ina3221")
    for number, label in enumerate(("VDD_IN", "VDD_CPU_GPU_CV"), start=1):
        write(tmp_path, f"{device}/hwmon/hwmon3/in{number}_label", label)
        write(tmp_path, f"{device}/hwmon/hwmon3/in{number}_input", "5000")
        write(tmp_path, f"{device}/hwmon/hwmon3/curr{number}_input", "2000")
    (meter,), _ = find_meters(tmp_path)
    assert meter.name == "INA3221, VDD_IN"  # the total alone
    meter.start()
    time.sleep(0.1)
    assert 0 < meter.stop() == pytest.approx(10 * seconds[-1])


def make_rail(root: Path) -> Path:
    """Make a Jetson's rail of 10 W; returns the file of its voltage."""
    device = "sys/bus/i2c/devices/1-0040"
    write(root, f"{device}/name", "ina3221")
    write(root, f"{device}/hwmon/hwmon3/in1_label", "VDD_IN")
    write(root, f"{device}/hwmon/hwmon3/curr1_input", "2000")
    return write(root, f"{device}/hwmon/hwmon3/in1_input", "5000")


def test_a_rail_that_cannot_be_read_any_more_is_said_and_counts_nothing(tmp_path: Path) -> None:
    volts = make_rail(tmp_path)
    reading = Reading(find_meters(tmp_path)[0])
    with reading.count():
        volts.write_text("\n")
    assert reading.joules == {}
    (reason,) = reading.reasons
    assert reason.startswith("energy is not available: INA3221, VDD_IN: ")
    assert str(volts) in reason


def test_a_counter_that_is_gone_is_said_and_the_others_count(tmp_path: Path) -> None:
    make_rail(tmp_path)
    write(tmp_path, "sys/class/powercap/intel-rapl:0/name", "package-0")
    counter = write(tmp_path, "sys/class/powercap/intel-rapl:0/energy_uj", "5")
    reading = Reading(find_meters(tmp_path)[0])
    with reading.count():
        counter.unlink()
    assert list(reading.joules) == ["INA3221, VDD_IN"]
    assert "RAPL, package-0" in reading.reasons[0]
    meters, _ = find_meters(tmp_path)
    assert [meter.name for meter in meters] == ["INA3221, VDD_IN"]


def test_what_is_counted_in_stretches_adds_up(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/powercap/intel-rapl:0/name", "package-0")
    write(tmp_path, "sys/class/powercap/intel-rapl:0/max_energy_range_uj", "1000000000")
    counter = write(tmp_path, "sys/class/powercap/intel-rapl:0/energy_uj", "0")
    reading = Reading(find_meters(tmp_path)[0])
    for before, after in ((0, 2_000_000), (9_000_000, 12_000_000)):
        counter.write_text(f"{before}\n")
        with reading.count():
            counter.write_text(f"{after}\n")
    assert reading.joules == {"RAPL, package-0": pytest.approx(5.0)}


def test_energy_of_some_rounds_is_no_energy() -> None:
    def measured(**joules: float) -> Measurement:
        return Measurement(
            warm_up=WarmUp(calls=3, stable=True, spread=0.0, call_ns=1e6),
            latencies_ns=[10**6],
            samples=4,
            wall_ns=10**9,
            versions={},
            joules=joules,
        )

    idle = {"rail": 2.0}
    found = find_energy([measured(rail=10.0), measured(rail=10.0)], idle)
    assert found is not None
    assert found.joules_per_sample == pytest.approx((20 - 2 * 2) / 8)
    assert find_energy([measured(rail=10.0), measured()], idle) is None


def test_nvml_counts_millijoules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([1000, 1000, 3500])
    nvml = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(readings),
    )
    monkeypatch.setattr(energy, "load_nvml", lambda: nvml)
    (meter,), _ = find_meters(tmp_path)
    meter.start()
    assert (meter.name, meter.stop()) == ("NVML, GPU 0", 2.5)


def test_a_gpu_whose_nvml_counts_nothing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: object) -> int:
        raise OSError("not supported")

    nvml = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=refuse,
    )
    monkeypatch.setattr(energy, "load_nvml", lambda: nvml)
    assert find_meters(tmp_path)[0] == []
