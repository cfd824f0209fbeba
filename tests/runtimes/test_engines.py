"""Building, keeping, finding and refusing engines; TensorRT and the GPU are made of Python."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.runtimes.conftest import replace_file
from tests.runtimes.fake_gpu import FakeRuntime, make_tensorrt
from tests.runtimes.test_engine_session import feeds, install

from genx_runtimes import cuda as cuda_module
from genx_runtimes.bundle import open_bundle
from genx_runtimes.cuda import Cuda
from genx_runtimes.engines import build_bundle as bundle_builds
from genx_runtimes.engines import flavours
from genx_runtimes.engines import open as opening
from genx_runtimes.engines.build_bundle import BuildPlace, build_bundle, plan_bundle
from genx_runtimes.engines.flavours import load_flavour
from genx_runtimes.engines.memory_check import check_memory
from genx_runtimes.engines.precision import LayerPrecision, complete_layers, read_inspector
from genx_runtimes.engines.settings import (
    BatchProfile,
    BuildSettings,
    check_settings,
    parse_batch,
    parse_capabilities,
)
from genx_runtimes.engines.store import list_engines, lock_engine, read_engine
from genx_runtimes.errors import (
    BackendError,
    BackendUnavailableError,
    InputError,
    IntegrityError,
    VerificationError,
)
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import Session
from genx_runtimes.verify import verify_bundle

BOUNDS = BatchBounds(min=1, max=64)


class Device:
    """A machine with a GPU and a TensorRT, on which a bundle lies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bundle: Path, cache: Path) -> None:
        self.monkeypatch = monkeypatch
        self.path = bundle
        monkeypatch.setenv("GENX_CACHE_DIR", str(cache))
        self.cache = cache
        self.settings = BuildSettings(target="tensorrt", batch=BatchProfile(min=1, opt=4, max=16))
        self.gpu = FakeRuntime()
        self.switch("10.3.0")

    def switch(self, version: str, name: bytes = b"Fake GPU") -> None:
        """Go to a machine with another TensorRT or GPU."""
        self.gpu = FakeRuntime()
        self.gpu.name = name
        self.trt: ModuleType = make_tensorrt(self.gpu, version=version)
        install(self.monkeypatch, self.trt)
        for module in (opening, bundle_builds):
            self.monkeypatch.setattr(module, "open_cuda", lambda: Cuda(self.gpu))
        self.monkeypatch.setattr("genx_runtimes.backends.find_spec", lambda _: object())

    def build(self, **place: Any) -> list[Path]:
        made = build_bundle(open_bundle(self.path), self.settings, place=BuildPlace(**place))
        return [each.engine.path for each in made]

    def open(self) -> Session:
        return open_bundle(self.path).session("generator", backend="tensorrt")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, bundle_copy: Path, tmp_path: Path) -> Device:
    return Device(monkeypatch, bundle_copy, tmp_path / "cache")


def test_build_verify_and_run(device: Device) -> None:
    (path,) = device.build()
    assert path.parent == device.path / "engines" / "tensorrt" / "fp32"
    sidecar = read_engine(path).sidecar
    assert sidecar.max_error is not None
    assert 0 <= sidecar.max_error <= 1e-5
    built = sidecar.key.environment
    assert (built.tensorrt, built.gpu, built.compute_capability) == ("10.3.0", "Fake GPU", "8.7")
    assert "TF32" not in device.trt.last_config.flags
    report = verify_bundle(open_bundle(device.path), backend="tensorrt")
    report.require()
    assert device.trt.builds == 1
    assert device.gpu.held == 0
    assert not list(device.path.rglob("*.lock"))


def test_an_engine_is_built_once(device: Device) -> None:
    first = device.build()
    assert device.build() == first
    assert device.trt.builds == 1
    device.build(again=True)
    assert device.trt.builds == 2
    assert [p.exists for p in plan_bundle(open_bundle(device.path), device.settings)] == [True]


def test_what_a_killed_build_leaves_is_not_seen(device: Device) -> None:
    (path,) = device.build()
    path.with_suffix(".json").unlink()
    path.write_bytes(b"half")
    assert list_engines(device.path) == []
    assert device.build() == [path]
    assert device.trt.builds == 2


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def edit_sidecar(path: Path) -> None:
    beside = path.with_suffix(".json")
    beside.write_text(beside.read_text().replace("10.3.0", "10.4.0"))


def cut_sidecar(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, "bytes, expected"),
        (flip, "was altered: sha256 is"),
        (edit_sidecar, "was altered: its key is not the one in its name"),
        (cut_sidecar, "is damaged"),
    ],
)
def test_damaged_engines_are_named_and_built_anew(
    device: Device, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], said: str
) -> None:
    (path,) = device.build()
    damage(path)
    with pytest.raises(IntegrityError, match=said):
        read_engine(path)
    with device.open() as session:
        session.run(feeds(2))
    assert said in caplog.text
    assert device.trt.builds == 2


@pytest.mark.parametrize(
    ("version", "name", "said"),
    [
        ("10.13.3", b"Fake GPU", "tensorrt was 10.3.0, here it is 10.13.3"),
        ("10.3.0", b"Other GPU", "gpu was Fake GPU, here it is Other GPU"),
    ],
)
def test_engines_of_other_machines_are_built_anew(
    device: Device, caplog: pytest.LogCaptureFixture, version: str, name: bytes, said: str
) -> None:
    device.build()
    device.switch(version, name)
    with device.open() as session:
        session.run(feeds(2))
    assert said in caplog.text
    assert device.trt.builds == 1
    with device.open():  # what was built now is kept in the user's cache
        pass
    assert device.trt.builds == 1
    assert len(list_engines(device.cache / "engines")) == 1


def test_where_nothing_can_be_built_the_command_is_named(device: Device) -> None:
    device.build()
    device.switch("10.13.3")
    del device.trt.Builder
    with pytest.raises(BackendUnavailableError) as caught:
        device.open()
    assert "tensorrt was 10.3.0, here it is 10.13.3" in str(caught.value)
    assert "runs engines and builds none" in str(caught.value)
    assert "genx build BUNDLE --target tensorrt" in caught.value.fix


def test_a_new_driver_is_told(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    device.build()
    device.gpu.driver = 12080
    with device.open():
        pass
    assert "driver was 12.6, here it is 12.8" in caplog.text


def test_an_engine_from_another_bundle(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = device.build()
    name = open_bundle(device.path).variant().graphs["generator"].path
    # A field that ONNX does not have: another file of the same graph.
    replace_file(device.path, name, (device.path / name).read_bytes() + b"\x7a\x00")
    with device.open():
        pass
    assert "it was built from another graph" in caplog.text
    assert path.exists()


def test_newer_versions_load_what_is_version_compatible(device: Device) -> None:
    device.settings = msgspec.structs.replace(device.settings, version_compatible=True)
    device.build(in_cache=True)
    device.switch("11.4.0")
    with device.open():
        pass
    assert device.trt.builds == 0
    device.switch("10.1.0")
    with device.open():
        pass
    assert device.trt.builds == 1


def test_code_for_the_cpu_is_not_run_from_a_bundle(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.settings = msgspec.structs.replace(device.settings, version_compatible=True)
    device.build()
    with device.open():
        pass
    assert "it carries code for the CPU" in caplog.text
    assert device.trt.builds == 2


@pytest.mark.parametrize("sizes", [(8, 8, 8), (3, 4, 5), (16, 16, 16)])
def test_engines_of_few_batch_sizes_are_verified_at_those(
    device: Device, sizes: tuple[int, int, int]
) -> None:
    low, opt, high = sizes
    batch = BatchProfile(min=low, opt=opt, max=high)
    device.settings = BuildSettings(target="tensorrt", batch=batch)
    (path,) = device.build()
    error = read_engine(path).sidecar.max_error
    assert error is not None
    assert error <= 1e-5
    report = verify_bundle(open_bundle(device.path), backend="tensorrt")
    report.require()
    assert report.batches
    assert all(low <= size <= high for size in report.batches)


def test_an_engine_built_elsewhere_is_verified_where_it_can_run(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = device.build()
    sidecar = read_engine(path).sidecar
    unverified = msgspec.structs.replace(sidecar, max_error=None)
    path.with_suffix(".json").write_bytes(msgspec.json.encode(unverified))
    assert device.build() == [path]
    assert read_engine(path).sidecar.max_error == sidecar.max_error
    assert device.trt.builds == 1


def test_engines_that_do_not_take_the_batch_are_passed_over(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    batch = BatchProfile(min=8, opt=8, max=8)
    device.settings = BuildSettings(target="tensorrt", batch=batch)
    device.build()
    with open_bundle(device.path).session("generator", backend="tensorrt", batch=4) as session:
        session.run(feeds(4))
    assert "it takes batches of 8 to 8, not 4" in caplog.text


def test_an_accelerator_is_never_chosen_unasked(
    device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = device.build()
    sidecar = read_engine(path).sidecar
    settings = msgspec.structs.replace(sidecar.key.settings, dla=0)
    key = msgspec.structs.replace(sidecar.key, settings=settings)
    moved = path.with_name(f"generator-{key.digest[:16]}.engine")
    path.rename(moved)
    path.with_suffix(".json").unlink()
    changed = msgspec.structs.replace(sidecar, key=key)
    moved.with_suffix(".json").write_bytes(msgspec.json.encode(changed))
    with device.open():
        pass
    assert "it runs on DLA 0, not the GPU" in caplog.text
    bundle = open_bundle(device.path)
    with bundle.session("generator", backend="tensorrt:dla0") as session:
        session.run(feeds(2))
    with pytest.raises(BackendUnavailableError, match="for DLA 1 is valid here") as caught:
        bundle.session("generator", backend="tensorrt:dla1")
    assert "--dla 1" in caught.value.fix


def test_a_cache_that_cannot_be_made_does_not_stop_a_bundle_with_engines(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device.build()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "file"))
    with device.open() as session:
        session.run(feeds(2))
    assert device.trt.builds == 1


def test_the_engine_tuned_closest_is_taken(device: Device) -> None:
    for opt in (2, 8, 16):
        device.settings = BuildSettings(
            target="tensorrt", batch=BatchProfile(min=1, opt=opt, max=16)
        )
        device.build()
    bundle = open_bundle(device.path)
    for batch, expected in ((1, 2), (9, 8), (16, 16)):
        with bundle.session("generator", backend="tensorrt", batch=batch) as session:
            assert session._batch.opt == expected  # type: ignore[attr-defined]


def test_an_engine_that_draws_something_else_is_not_kept(device: Device) -> None:
    def spoil(model: bytes) -> bytes:
        """Change the last bytes of the weights, far behind all that names them."""
        middle = len(model) // 2
        changed = model[:middle] + b"\x3f" * 8 + model[middle + 8 :]
        assert changed != model
        return changed

    device.trt.spoil = spoil
    with pytest.raises(VerificationError, match="the new engine"):
        device.build()
    assert list_engines(device.path) == []
    assert device.gpu.held == 0


def test_two_processes_build_one_engine_once(device: Device) -> None:
    """One waits at the lock and then finds what the other built."""
    first_holds, order = threading.Event(), []
    original = device.trt.spoil

    def slow(model: bytes) -> bytes:
        order.append("build")
        first_holds.set()
        return original(model)  # type: ignore[no-any-return]

    device.trt.spoil = slow
    threads = [threading.Thread(target=device.build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["build"]


def test_a_lock_is_held_against_other_processes(tmp_path: Path, device: Device) -> None:
    target = tmp_path / "x.engine"
    script = (
        "import sys; from pathlib import Path\n"
        "from filelock import FileLock, Timeout\n"
        "from genx_runtimes.engines import store\n"
        "import filelock\n"
        "class Impatient(FileLock):\n"
        "    def __init__(self, path): super().__init__(path, timeout=0.2)\n"
        "filelock.FileLock = Impatient\n"
        f"try:\n    with store.lock_engine(Path({str(target)!r})): print('mine')\n"
        "except Exception as err: print('waits' if isinstance(err.__cause__, Timeout) else err)\n"
    )
    roots = [str(Path(__file__).parents[2] / "runtimes")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}

    def ask() -> str:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True
        )
        return done.stdout.strip()

    with lock_engine(target):
        assert ask() == "waits"
    assert ask() == "mine"


def test_ctrl_c_stops_a_build_and_leaves_nothing(device: Device) -> None:
    def interrupt(phase: str, done: int, total: int) -> None:
        if done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        list(build_bundle(open_bundle(device.path), device.settings, progress=interrupt))
    assert signal.getsignal(signal.SIGINT) is before
    assert list_engines(device.path) == []
    assert not list(device.path.rglob("*.engine"))


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    def refuse() -> Cuda:
        return Cuda(FakeRuntime(devices=0))

    for module in (opening, bundle_builds, cuda_module):
        monkeypatch.setattr(module, "open_cuda", refuse)
    with pytest.raises(BackendUnavailableError, match="there is none here") as caught:
        device.build()
    assert "tensorrt-rtx compiles ahead" in caught.value.fix
    with pytest.raises(BackendUnavailableError, match="no NVIDIA GPU can be used here"):
        device.open()


def test_no_tensorrt(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> None:
    monkeypatch.setattr(flavours, "_LOADED", {})
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailableError, match="tensorrt cannot be loaded") as caught:
        load_flavour("tensorrt")
    assert "JetPack" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (1, 8, 64)),
        ("4", (4, 4, 4)),
        ("1:8:32", (1, 8, 32)),
    ],
)
def test_batches(text: str | None, expected: tuple[int, int, int]) -> None:
    assert msgspec.structs.astuple(parse_batch(text, BOUNDS)) == expected


@pytest.mark.parametrize("text", ["", "1:2", "8:4:16", "0:1:2", "1:8:65", "a", "1:2:3:4", "-1"])
def test_wrong_batches(text: str) -> None:
    with pytest.raises(InputError, match="batch is"):
        parse_batch(text, BOUNDS)


def test_capabilities() -> None:
    assert parse_capabilities("12.0, 8.6,8.9,8.6") == ("8.6", "8.9", "12.0")
    assert parse_capabilities(None) == ()
    for text in ("", "8", "sm86", "8.6;8.9"):
        with pytest.raises(InputError, match="compute capability is"):
            parse_capabilities(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "tensorrt", "compute_capabilities": ("8.6",)}, "--compute-capability is for"),
        ({"target": "tensorrt-rtx", "dla": 0}, "--dla is for --target tensorrt"),
        ({"target": "tensorrt-rtx", "version_compatible": True}, "--version-compatible is for"),
        ({"target": "tensorrt", "dla": 0}, "a DLA runs one batch size"),
        ({"target": "tensorrt", "gpu_fallback": True}, "--gpu-fallback says where"),
        ({"target": "tensorrt", "workspace_mb": 0}, "workspace is 0 MiB"),
        ({"target": "vulkan"}, "unknown target 'vulkan'"),
    ],
)
def test_settings_that_contradict(changes: dict[str, Any], said: str) -> None:
    settings = BuildSettings(**{"batch": BatchProfile(min=1, opt=8, max=64), **changes})
    with pytest.raises(InputError, match=said):
        check_settings(settings)


def test_a_dla_that_is_not_there(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_builds, "list_refusals", lambda _: ())
    batch = BatchProfile(min=4, opt=4, max=4)
    device.settings = BuildSettings(target="tensorrt", batch=batch, dla=0)
    with pytest.raises(InputError, match="DLA 0 was asked for, this machine has 0"):
        device.build()


@pytest.mark.parametrize(("free_kb", "fits"), [(900_000, False), (4_000_000, True)])
def test_a_jetson_is_asked_for_memory_first(tmp_path: Path, free_kb: int, fits: bool) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc").mkdir()
    meminfo = f"MemTotal: 7802992 kB\nMemAvailable: {free_kb} kB\nSwapFree: 100000 kB\n"
    (tmp_path / "proc/meminfo").write_text(meminfo)
    settings = BuildSettings(
        target="tensorrt", batch=BatchProfile(min=1, opt=8, max=64), workspace_mb=256
    )
    check_memory(10_000_000, settings, tmp_path)  # no Jetson: not asked
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n")
    if fits:
        check_memory(10_000_000, settings, tmp_path)
        return
    with pytest.raises(BackendError, match=r"may take 1\.3 GiB, 1\.0 GiB are free") as caught:
        check_memory(10_000_000, settings, tmp_path)
    assert "lower --workspace-mb" in caught.value.fix


def test_int8_that_is_turned_back_is_seen() -> None:
    kinds = [("int8", "int8"), ("int8", "float"), ("float", "float"), ("int8", "unknown")]
    layers = [LayerPrecision(name="x", kind="c", asked=a, runs=r) for a, r in kinds]
    assert [layer.is_dequantised for layer in layers] == [False, True, False, False]


THIRTY_TWO = "Thirty-two wide channel vectorized row major Int8 format"


def test_what_an_engine_says_of_itself() -> None:
    text = json.dumps(
        {
            "Layers": [
                {"Name": "conv", "Inputs": [{"Format/Datatype": THIRTY_TWO}]},
                {"Name": "act", "Inputs": [{"Format/Datatype": "Row major linear FP16"}, {}]},
                {"Name": "any", "Inputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]},
                "a name alone",
            ]
        }
    )
    assert read_inspector(text) == {"conv": "int8", "act": "half"}


def test_layers_are_told_by_the_engine_where_the_plan_does_not(device: Device) -> None:
    names = ("a/Conv", "b/Conv", "c/Conv")
    layers = tuple(
        LayerPrecision(name=n, kind="convolution", asked="int8", runs="unknown") for n in names
    )
    found = {"a/Conv + a/Relu": "int8", "b/Conv": "float"}
    assert [x.runs for x in complete_layers(layers, found)] == ["int8", "float", "unknown"]


def test_warnings_of_a_build_are_logged_once(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), device.open():
        pass
    assert [r.message for r in caplog.records] == [
        "no engine of 'generator' for tensorrt is valid here (there is none): building"
    ]
