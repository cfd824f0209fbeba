"""onnxruntime's devices: their names, and what is passed to each provider.

None of the hardware is here: a stand-in takes down what onnxruntime is given.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tests.runtimes.fake_onnxruntime import (
    BUILT_IN,
    CPU,
    HARDWARE,
    STRICT,
    Start,
    name_device,
    open_on,
)

from genx_runtimes.backends import BACKENDS, check_fallback, open_session, split_backend
from genx_runtimes.backends.onnxruntime_devices import DEVICES, Device, list_packages
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import BackendError, BackendUnavailableError, InputError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import GraphOrigin, SessionOptions


def originate(largest: int, *, precision: str = "fp32") -> SessionOptions:
    """Return options for a graph of a bundle that takes 1 to `largest` samples."""
    bounds = BatchBounds(min=1, max=largest)
    return SessionOptions(origin=GraphOrigin(variant="x", precision=precision, bounds=bounds))


def test_names_are_split_in_one_place() -> None:
    assert split_backend("onnxruntime")[1] is None
    for device in DEVICES:
        backend, name = split_backend(f"onnxruntime:{device.name}")
        assert (backend.name, name) == ("onnxruntime", device.name)
    assert BACKENDS[0].devices == tuple(device.name for device in DEVICES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("onnxruntime:cudda", "'onnxruntime' has no device 'cudda'; there is: cpu, cuda, tensorrt"),
        ("onnxruntime:", "'onnxruntime' has no device ''; there is: cpu, cuda, tensorrt, nv_tens"),
        ("onnxruntime:CUDA", "has no device 'CUDA'; there is: cpu, cuda"),
        ("onnxruntime:cuda:0", "has no device 'cuda:0'; there is: cpu, cuda"),
        ("openvino:gpu", "backend 'openvino' has no device 'gpu'; leave it out"),
        ("onnxrt:cuda", "unknown backend 'onnxrt'; did you mean 'onnxruntime'"),
        (":cuda", "unknown backend ''; there is: onnxruntime"),
    ],
)
def test_wrong_names_are_explained(tiny_bundle: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_bundle(tiny_bundle).session("generator", backend=name)


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime:cpu", "null"])
def test_a_fallback_needs_a_device_to_fall_from(tiny_bundle: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no meaning with .*; leave --allow-fallback out, or "):
        open_bundle(tiny_bundle).session(
            "generator", backend=name, options=SessionOptions(allow_fallback=True)
        )
    check_fallback("onnxruntime:cuda")


@pytest.mark.parametrize("device", HARDWARE, ids=name_device)
def test_a_provider_that_is_not_in_this_build_names_its_package(
    device: Device, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])
    bundle = open_bundle(tiny_bundle)
    with pytest.raises(BackendUnavailableError) as caught:
        bundle.session("generator", backend=f"onnxruntime:{device.name}")
    assert f"this onnxruntime has no {device.provider}; it has {CPU}" in str(caught.value)
    assert device.package in caught.value.fix
    assert "pip install" in caught.value.fix


# Those that hold a path are compared apart.
SETTINGS = {
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
    "tensorrt": {
        "trt_fp16_enable": "False",
        "trt_int8_enable": "False",
        "trt_engine_cache_enable": "True",
        "trt_timing_cache_enable": "True",
        "trt_profile_min_shapes": "z:1x8,label:1",
        "trt_profile_opt_shapes": "z:4x8,label:4",
        "trt_profile_max_shapes": "z:16x8,label:16",
    },
    "coreml": {"ModelFormat": "MLProgram"},
    "dml": {},
}
FOLDERS = {
    "cuda": (),
    "tensorrt": ("trt_engine_cache_path", "trt_timing_cache_path"),
    "coreml": ("ModelCacheDirectory",),
    "dml": (),
}


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_options_of_each_provider(device: Device, tiny_bundle: Path, start: Start) -> None:
    fake = start(device.provider)
    open_on(tiny_bundle, device.name)
    (made,) = fake.sessions
    ((provider, options),) = made["providers"]
    assert provider == device.provider
    folders = {key: options.pop(key) for key in FOLDERS[device.name]}
    assert options == SETTINGS[device.name]
    assert all(Path(path).is_dir() for path in folders.values())
    assert made["enable_fallback"] == 0
    assert made["session"].disabled
    settings = made["settings"]
    assert settings.entries == {STRICT: "1"}
    assert settings.dimensions == ({"batch": 4} if device.name == "coreml" else {})
    assert settings.enable_mem_pattern == (device.name != "dml")


def test_cpu_has_no_options(tiny_bundle: Path, start: Start) -> None:
    fake = start()
    open_on(tiny_bundle, "cpu")
    assert fake.sessions[0]["providers"] == [(CPU, {})]
    assert fake.sessions[0]["settings"].entries == {}
    assert fake.preloads == 0


@pytest.mark.parametrize(
    ("precision", "flags"),
    [("fp32", ("False", "False")), ("fp16", ("True", "False")), ("int8", ("False", "True"))],
)
def test_tensorrt_takes_the_precision_of_the_variant(
    tiny_bundle: Path, start: Start, precision: str, flags: tuple[str, str]
) -> None:
    fake = start("TensorrtExecutionProvider")
    bundle = open_bundle(tiny_bundle)
    component = bundle.manifest.component("generator")
    options = SessionOptions(origin=GraphOrigin(variant="x", precision=precision))
    open_session(b"graph", component, backend="onnxruntime:tensorrt", options=options).close()
    given = fake.sessions[0]["providers"][0][1]
    assert (given["trt_fp16_enable"], given["trt_int8_enable"]) == flags
    assert not [key for key in given if "profile" in key]  # bounds are unknown here


def test_engines_of_one_architecture_are_kept_apart(tiny_bundle: Path, start: Start) -> None:
    fake = start("TensorrtExecutionProvider")
    component = open_bundle(tiny_bundle).manifest.component("generator")
    cases = [
        (b"weights 1", originate(8)),
        (b"weights 2", originate(8)),
        (b"weights 1", originate(9)),
        (b"weights 1", originate(8, precision="fp16")),
        (b"weights 1", replace(originate(8), threads=1)),
    ]
    for model, options in cases:
        open_session(model, component, backend="onnxruntime:tensorrt", options=options).close()
    given = [session["providers"][0][1] for session in fake.sessions]
    first, *others, same = [options["trt_engine_cache_path"] for options in given]
    assert len({first, *others}) == 4
    assert first == same
    assert len({options["trt_timing_cache_path"] for options in given}) == 1


@pytest.mark.parametrize("device", BUILT_IN, ids=name_device)
def test_tf32_and_libraries(
    device: Device,
    tiny_bundle: Path,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tensorrt_libs.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt_libs", raising=False)
    fake = start(device.provider)
    open_on(tiny_bundle, device.name)
    trt = device.name == "tensorrt"
    assert ("tensorrt_libs" in sys.modules) == trt
    assert os.environ.get("NVIDIA_TF32_OVERRIDE") == ("0" if trt else None)
    assert fake.preloads == (device.name in ("cuda", "tensorrt"))
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.delattr(ort, "preload_dlls")  # before 1.21
    open_on(tiny_bundle, device.name)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"


def test_fixed_batches_are_loaded_one_by_one(tiny_bundle: Path, start: Start) -> None:
    fake = start("CoreMLExecutionProvider")
    with open_bundle(tiny_bundle).session("generator", backend="onnxruntime:coreml") as session:
        for batch in (1, 3, 1):
            feeds = {"z": np.zeros((batch, 8), np.float32), "label": np.zeros(batch, np.int64)}
            assert session.run(feeds)["image"].shape == (batch, 1, 8, 8)
    assert [made["settings"].dimensions["batch"] for made in fake.sessions] == [1, 3]
    with pytest.raises(BackendError, match="the session is closed"):
        session.run(feeds)


def test_packages_and_providers_are_those_of_the_table() -> None:
    packages = list_packages()
    gpu = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
    assert packages["onnxruntime-gpu"] == gpu
    assert "onnxruntime" not in packages
    assert len({device.provider for device in DEVICES}) == len(DEVICES)


@pytest.mark.skipif(not hasattr(ort, "get_all_providers"), reason="this release does not list them")
def test_provider_names_are_onnxruntimes() -> None:
    known = ort.get_all_providers()
    if "NvTensorRTRTXExecutionProvider" not in known:  # before 1.22
        known.append("NvTensorRTRTXExecutionProvider")
    assert {device.provider for device in DEVICES} <= set(known)


def test_a_real_session_takes_a_fixed_batch(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    create = ort.InferenceSession

    def spy(*args: Any, **kwargs: Any) -> Any:
        made.append(create(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(ort, "InferenceSession", spy)
    fixed = Device(name="cpu", provider=CPU, package="", install="", fixed_batch=True)
    for module in ("onnxruntime", "onnxruntime_loading"):
        name = f"genx_runtimes.backends.{module}.choose_devices"
        monkeypatch.setattr(name, lambda _: (fixed,))
    with open_bundle(tiny_bundle).session("generator", batch=3) as session:
        feeds = {"z": np.ones((3, 8), np.float32), "label": np.zeros(3, np.int64)}
        assert session.run(feeds)["image"].shape == (3, 1, 8, 8)
    assert [i.shape[0] for i in made[0].get_inputs()] == [3, 3]
