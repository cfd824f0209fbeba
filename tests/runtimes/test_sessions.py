"""What every backend must hold to, and what is onnxruntime's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from genx_runtimes.backends import BACKENDS, find_backend, open_session
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import BackendError, BackendUnavailableError, InputError
from genx_runtimes.session import Array, Session, SessionOptions

# Where the thin runtime alone is tested, engines of extras are not there; tests/export wants all.
NAMES = [b.name for b in BACKENDS if b.is_installed() and not b.needs_gpu] + ["onnxruntime:cpu"]


@pytest.fixture(params=NAMES)
def session(request: pytest.FixtureRequest, tiny_bundle: Path) -> Session:
    return open_bundle(tiny_bundle).session("generator", backend=request.param)


def _feeds(batch: int = 2, **changes: Array) -> dict[str, Array]:
    feeds = {"z": np.zeros((batch, 8), np.float32), "label": np.zeros(batch, np.int64)}
    return {**feeds, **changes}


def test_sessions_run_and_describe_themselves(session: Session) -> None:
    with session:
        assert [spec.name for spec in session.inputs] == ["z", "label"]
        assert [spec.name for spec in session.outputs] == ["image"]
        for batch in (1, 7):
            image = session.run(_feeds(batch))["image"]
            assert image.shape == (batch, 1, 8, 8)
            assert image.dtype == np.float32
    with pytest.raises(BackendError, match="the session is closed"):
        session.run(_feeds())


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"z": np.zeros((2, 8), np.float32)}, "component 'generator' needs the input 'label'"),
        (_feeds(z=np.zeros((2, 8))), "input 'z' has dtype float64, expected float32"),
        (_feeds(z=np.zeros((2, 8), ">f4")), "input 'z' has dtype >f4, expected float32"),
        (_feeds(label=np.zeros(2, np.int32)), "input 'label' has dtype int32, expected int64"),
        (_feeds(z=np.zeros((2, 9), np.float32)), r"has shape \(2, 9\), expected \(batch, 8\)"),
        (_feeds(z=np.zeros((), np.float32)), r"has shape \(\), expected \(batch, 8\)"),
        (_feeds(label=np.zeros(3, np.int64)), "inputs have different batch sizes: 2 and 3"),
        (_feeds(extra=np.zeros(2)), "component 'generator' has no input called 'extra'"),
    ],
)
def test_inputs_are_checked(session: Session, feeds: dict[str, Array], message: str) -> None:
    with session, pytest.raises(InputError, match=message):
        session.run(feeds)


def test_unknown_and_missing_backends(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(tiny_bundle)
    with pytest.raises(InputError, match=r"unknown backend 'onnxrt'; did you mean 'onnxruntime'"):
        bundle.session("generator", backend="onnxrt")
    monkeypatch.setattr("genx_runtimes.backends.find_spec", lambda _: None)
    with pytest.raises(
        BackendUnavailableError, match=r"needs the package .*; pip install onnxrunt"
    ):
        bundle.session("generator")
    assert find_backend("null").is_installed()


def test_options() -> None:
    with pytest.raises(InputError, match="threads is 0, expected 1 or more"):
        SessionOptions(threads=0)


def _spy(monkeypatch: pytest.MonkeyPatch) -> list[ort.SessionOptions]:
    made: list[ort.SessionOptions] = []

    class Spy(ort.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(ort, "SessionOptions", Spy)
    return made


def test_threads_and_spinning_reach_the_engine(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _spy(monkeypatch)
    bundle = open_bundle(tiny_bundle)
    key = "session.intra_op.allow_spinning"
    with bundle.session("generator", options=SessionOptions(threads=1, spinning=False)):
        assert made[-1].intra_op_num_threads == 1
        assert made[-1].get_session_config_entry(key) == "0"
    monkeypatch.setattr("genx_runtimes.backends.onnxruntime_loading.count_usable_cores", lambda: 3)
    with bundle.session("generator"):
        assert made[-1].intra_op_num_threads == 3
        with pytest.raises(RuntimeError, match=key):
            made[-1].get_session_config_entry(key)


def test_a_provider_that_is_not_there_is_an_error(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(tiny_bundle)
    cuda = SessionOptions(providers=("CUDAExecutionProvider",))
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendUnavailableError, match="has no CUDAExecutionProvider; it has CPUEx"):
        bundle.session("generator", options=cuda)


def test_a_provider_that_falls_back_unseen_is_an_error(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fallen:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def disable_fallback(self) -> None: ...

    made = _spy(monkeypatch)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", Fallen)
    with pytest.raises(
        BackendUnavailableError, match="did not load CUDAExecutionProvider; it would"
    ):
        open_bundle(tiny_bundle).session(
            "generator", options=SessionOptions(providers=("CUDAExecutionProvider",))
        )
    assert made[-1].get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_the_engines_own_errors_are_told(tiny_bundle: Path) -> None:
    component = open_bundle(tiny_bundle).manifest.components[0]
    with pytest.raises(BackendError, match=r"onnxruntime .* refuses component 'generator': .*"):
        open_session(b"no model", component)
    with (
        open_bundle(tiny_bundle).session("generator") as session,
        pytest.raises(BackendError, match=r"onnxruntime failed in component 'generator': "),
    ):
        session.run(_feeds(label=np.full(2, 99, np.int64)))
