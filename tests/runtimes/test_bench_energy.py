from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from genx_runtimes.bench import energy
from genx_runtimes.bench.energy import find_meters


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


def test_rails_of_a_jetson_are_integrated(tmp_path: Path) -> None:
    device = "sys/bus/i2c/devices/1-0040"
    write(tmp_path, f"{device}/name", "ina3221")
    for number, label in enumerate(("VDD_IN", "VDD_CPU_GPU_CV"), start=1):
        write(tmp_path, f"{device}/hwmon/hwmon3/in{number}_label", label)
        write(tmp_path, f"{device}/hwmon/hwmon3/in{number}_input", "5000")
        write(tmp_path, f"{device}/hwmon/hwmon3/curr{number}_input", "2000")
    (meter,), _ = find_meters(tmp_path)
    assert meter.name == "INA3221, VDD_IN"  # the total alone
    start = time.monotonic()
    meter.start()
    time.sleep(0.1)
    joules = meter.stop()
    assert joules == pytest.approx(10 * (time.monotonic() - start), rel=0.2)


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
