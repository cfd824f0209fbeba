"""Engines that come with extras, all of which the developer's environment has."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from genx_runtimes.backends import BACKENDS
from genx_runtimes.backends.openvino import OpenVinoSession
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.session import SessionOptions
from genx_runtimes.signal_stack import read_signal_stack
from genx_runtimes.verify import verify_bundle

TINY = Path(__file__).parent.parent / "data" / "tiny.genx"
FEEDS = {"z": np.ones((2, 8), np.float32), "label": np.zeros(2, np.int64)}


def open_tiny(**options: object) -> OpenVinoSession:
    made = open_bundle(TINY).session(
        "generator",
        backend="openvino",
        options=SessionOptions(**options),  # type: ignore[arg-type]
    )
    assert isinstance(made, OpenVinoSession)
    return made


def test_every_engine_is_there_to_be_tested() -> None:
    """All but TensorRT itself, which the vendor alone has; TensorRT-RTX stands in for it."""
    assert [b.name for b in BACKENDS if not b.is_installed()] == ["tensorrt"]


def test_openvino_draws_what_the_model_drew() -> None:
    assert verify_bundle(open_bundle(TINY), backend="openvino").passed


@pytest.mark.skipif(sys.platform != "linux", reason="the signal stack is Linux's")
def test_openvino_leaves_the_stack_of_signal_handlers_alone() -> None:
    """It set one of its own, freed later: Ctrl-C then wrote into somebody else's memory."""
    before = read_signal_stack()
    for batch in (None, 3):
        with open_tiny(batch=batch):
            after = read_signal_stack()
            fields = ("address", "flags", "size")
            assert [getattr(after, f) for f in fields] == [getattr(before, f) for f in fields]


def test_openvino_is_told_threads_mode_and_precision() -> None:
    with open_tiny(threads=1, mode="throughput") as session:
        compiled = session._open(None)[0].get_compiled_model()
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
        assert compiled.get_property("PERFORMANCE_HINT") == "THROUGHPUT"
        assert compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32


def test_openvino_is_set_up_for_a_batch_size_and_takes_others() -> None:
    with open_tiny(batch=2) as session:
        static = session._open(2)[0].get_compiled_model()
        assert [list(i.shape) for i in static.inputs] == [[2, 8], [2]]
        both = session.run(FEEDS)["image"]
        one = session.run({name: array[:1] for name, array in FEEDS.items()})["image"]
        np.testing.assert_allclose(one, both[:1], atol=1e-6)
        assert sorted(map(str, session._requests)) == ["2", "None"]


def test_openvino_outputs_outlive_the_next_call() -> None:
    with open_tiny() as session:
        first = session.run(FEEDS)["image"]
        kept = first.copy()
        session.run({**FEEDS, "z": -FEEDS["z"]})
        np.testing.assert_array_equal(first, kept)


def test_openvino_keeps_compiled_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path))
    with open_tiny() as session:
        session.run(FEEDS)
    assert list(tmp_path.iterdir()) == []
    with open_tiny(cache=True) as session:
        plain = session.run(FEEDS)["image"]
    blobs = list((tmp_path / "openvino").glob("*.blob"))
    assert len(blobs) == 1
    with open_tiny(cache=True) as session:
        np.testing.assert_array_equal(session.run(FEEDS)["image"], plain)
    assert list((tmp_path / "openvino").glob("*.blob")) == blobs


def test_openvino_refusals() -> None:
    with pytest.raises(InputError, match=r"CUDAExecutionProvider are onnxruntime's"):
        open_tiny(providers=("CUDAExecutionProvider",))
    component = open_bundle(TINY).manifest.component("generator")
    with pytest.raises(BackendError, match=r"openvino .* refuses component 'generator': "):
        OpenVinoSession(b"no model", component, SessionOptions())
