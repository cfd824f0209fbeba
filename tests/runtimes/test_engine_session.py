"""Running engines, on a GPU and a TensorRT that are made of Python: see fake_gpu.py."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.runtimes.fake_gpu import FakeRuntime, make_tensorrt

from genx_runtimes.bundle import open_bundle
from genx_runtimes.cuda import Cuda
from genx_runtimes.engines import flavours
from genx_runtimes.engines.build import Job, build_engine
from genx_runtimes.engines.engine_session import EngineSession
from genx_runtimes.engines.flavours import Loaded, load_flavour
from genx_runtimes.engines.settings import BatchProfile, BuildSettings
from genx_runtimes.engines.store import Engine
from genx_runtimes.errors import BackendError, BackendUnavailableError, InputError
from genx_runtimes.session import Array


def install(monkeypatch: pytest.MonkeyPatch, trt: ModuleType, target: str = "tensorrt") -> Loaded:
    """Let `import tensorrt` find a stand-in."""
    monkeypatch.setattr(flavours, "_LOADED", {})
    monkeypatch.setattr(flavours, "import_module", lambda _: trt)
    return load_flavour(target)


def feeds(batch: int, start: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(start)
    return {
        "z": rng.standard_normal((batch, 8), dtype=np.float32),
        "label": rng.integers(0, 4, batch),
    }


class Stage:
    """A session of the tiny generator's engine, and all that it stands on."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        folder: Path,
        tiny: Path,
        *,
        target: str = "tensorrt",
        **machine: object,
    ) -> None:
        self.folder = folder
        self.gpu = FakeRuntime(**machine)  # type: ignore[arg-type]
        self.trt = make_tensorrt(self.gpu, target.replace("-", "_"))
        self.loaded = install(monkeypatch, self.trt, target)
        self.cuda = Cuda(self.gpu)
        bundle = open_bundle(tiny)
        self.component = bundle.manifest.component("generator")
        self.model = bundle.read_graph("generator")
        self.reference = bundle.session("generator")
        batch = BatchProfile(min=1, opt=4, max=16)
        self.settings = BuildSettings(target=target, batch=batch)

    def build(self) -> Engine:
        job = Job(
            model=self.model,
            component=self.component,
            variant="fp32",
            settings=self.settings,
            folder=self.folder,
        )
        return build_engine(self.loaded, self.cuda, job).engine

    def open(self, **options: object) -> EngineSession:
        return EngineSession(
            self.loaded,
            self.build(),
            self.component,
            self.cuda,
            **options,  # type: ignore[arg-type]
        )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Path) -> Stage:
    return Stage(monkeypatch, tmp_path, tiny_bundle)


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Path) -> Stage:
    return Stage(monkeypatch, tmp_path, tiny_bundle, integrated=True)


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Path) -> Stage:
    return Stage(monkeypatch, tmp_path, tiny_bundle, target="tensorrt-rtx")


@pytest.mark.parametrize("graphs", [True, False])
def test_runs_what_the_graph_says_at_any_batch_size(stage: Stage, graphs: bool) -> None:
    with stage.open(graphs=graphs) as session:
        for turn, batch in enumerate((4, 1, 4, 16, 1, 4)):
            given = feeds(batch, turn)
            got = session.run(given)["image"]
            np.testing.assert_array_equal(got, stage.reference.run(given)["image"])
    assert stage.gpu.launches == (6 if graphs else 0)


def test_outputs_of_earlier_calls_stay(stage: Stage) -> None:
    with stage.open() as session:
        first = session.run(feeds(4, 1))["image"]
        kept = first.copy()
        session.run(feeds(4, 2))
        np.testing.assert_array_equal(first, kept)


def test_memory_is_allocated_once_a_batch_size_and_freed_on_close(stage: Stage) -> None:
    session = stage.open()
    for _ in range(3):
        session.run(feeds(4))
    after_one_size = stage.gpu.held
    # Two inputs and an output, each pinned and on the GPU; a stream and a graph.
    assert after_one_size == 3 * 2 + 2
    session.run(feeds(2))
    assert stage.gpu.held == 2 * after_one_size
    session.close()
    assert stage.gpu.held == 0
    session.close()
    with pytest.raises(BackendError, match="the session is closed"):
        session.run(feeds(4))


def test_shared_memory_is_not_copied(jetson: Stage) -> None:
    given = feeds(4)
    with jetson.open() as session:
        for _ in range(2):
            got = session.run(given)["image"]
        assert jetson.gpu.held == 3 + 2
    np.testing.assert_array_equal(got, jetson.reference.run(given)["image"])
    assert jetson.gpu.copies == 0
    assert jetson.gpu.held == 0


def test_the_next_batch_is_fed_while_one_computes(stage: Stage) -> None:
    given = [feeds(4, i) for i in range(5)]
    drawn = []

    def draw() -> object:
        for index, each in enumerate(given):
            drawn.append(index)
            yield each

    with stage.open() as session:
        ahead = []
        for index, outputs in enumerate(session.run_batches(draw())):  # type: ignore[arg-type]
            ahead.append(len(drawn) - index)
            expected = stage.reference.run(given[index])["image"]
            np.testing.assert_array_equal(outputs["image"], expected)
    assert ahead == [2, 2, 2, 2, 1]
    assert stage.gpu.held == 0


def test_who_stops_early_leaves_no_work_behind(stage: Stage) -> None:
    with stage.open() as session:
        outputs = session.run_batches(feeds(4, i) for i in range(5))
        next(outputs)
        assert any(stage.gpu.streams.values())
        outputs.close()  # type: ignore[attr-defined]
        assert not any(stage.gpu.streams.values())
    assert stage.gpu.held == 0


def test_two_walks_through_one_session_do_not_mix(stage: Stage) -> None:
    with stage.open() as session:
        ones, twos = ([feeds(4, seed + i) for i in range(4)] for seed in (0, 100))
        walks = zip(session.run_batches(ones), session.run_batches(twos), strict=True)
        for one, two, (got_one, got_two) in zip(ones, twos, walks, strict=True):
            for given, got in ((one, got_one), (two, got_two)):
                np.testing.assert_array_equal(got["image"], stage.reference.run(given)["image"])
    assert stage.gpu.held == 0


def test_a_walk_that_outlives_its_session_is_told(stage: Stage) -> None:
    with stage.open() as session:
        outputs = session.run_batches(feeds(4, i) for i in range(4))
        next(outputs)
    assert stage.gpu.held == 0
    with pytest.raises(BackendError, match="the session is closed"):
        next(outputs)


def test_batch_sizes_of_long_ago_are_forgotten(stage: Stage) -> None:
    with stage.open() as session:
        for batch in range(1, 10):
            given = feeds(batch)
            got = session.run(given)["image"]
            np.testing.assert_array_equal(got, stage.reference.run(given)["image"])
        assert stage.gpu.held == 4 * (3 * 2 + 2)
    assert stage.gpu.held == 0


def test_batches_beyond_the_engine_are_refused(stage: Stage) -> None:
    with stage.open() as session, pytest.raises(InputError) as caught:
        session.run(feeds(17))
    assert "batch is 17, the engine was built for 1 to 16" in str(caught.value)
    assert "genx build" in caught.value.fix


def test_out_of_memory_is_said_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Path
) -> None:
    stage = Stage(monkeypatch, tmp_path, tiny_bundle, limit=3000)
    with stage.open() as session:
        with pytest.raises(BackendError, match="the GPU is out of memory"):
            session.run(feeds(16))
        assert stage.gpu.held == 0
        session.run(feeds(1))
        assert stage.gpu.held > 0
    assert stage.gpu.held == 0


def test_a_context_that_has_no_memory(stage: Stage) -> None:
    with stage.open() as session:
        stage.trt.last_engine.refuses_contexts = True
        with pytest.raises(BackendError, match="has no memory for another batch size"):
            session.run(feeds(1))
    assert stage.gpu.held == 0


def test_a_lost_device(stage: Stage) -> None:
    session = stage.open()
    session.run(feeds(4))
    stage.gpu.lost = True
    with pytest.raises(BackendError, match="cudaErrorIllegalAddress"):
        session.run(feeds(4))
    session.close()
    assert stage.gpu.held == 0


def test_an_engine_that_cannot_be_recorded_runs_without_a_graph(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> object:
        raise BackendError("not permitted while capturing")

    monkeypatch.setattr(stage.cuda, "record", fail)
    given = feeds(4)
    with caplog.at_level(logging.INFO, "genx.tensorrt"), stage.open() as session:
        got = session.run(given)["image"]
    np.testing.assert_array_equal(got, stage.reference.run(given)["image"])
    assert "runs without a CUDA graph: not permitted" in caplog.text


def test_an_engine_of_another_model_is_found_out(stage: Stage, tmp_path: Path) -> None:
    engine = stage.build()
    other = open_bundle(Path(__file__).parents[1] / "data" / "tiny_codes.genx").manifest
    with pytest.raises(BackendError, match="the engine has the tensors"):
        EngineSession(stage.loaded, engine, other.components[0], stage.cuda)
    spoilt = engine._replace(data=b"nonsense")
    with pytest.raises(BackendError, match=r"does not load .*: Magic tag does not match"):
        EngineSession(stage.loaded, spoilt, stage.component, stage.cuda)
    assert stage.gpu.held == 0


def test_rtx_keeps_compiled_kernels_and_replays_by_itself(rtx: Stage, tmp_path: Path) -> None:
    kept = tmp_path / "kernels.bin"
    given = feeds(4)
    for turn in range(2):
        with rtx.open(kernels=kept) as session:
            got = session.run(given)["image"]
            settings = session._settings
            assert settings.cuda_graph_strategy == "whole"
            assert settings.loaded == (b"kernels" if turn else b"")
        np.testing.assert_array_equal(got, rtx.reference.run(given)["image"])
    assert kept.read_bytes() == b"kernels"
    assert rtx.gpu.launches == 0
    assert rtx.gpu.held == 0


def test_no_gpu() -> None:
    with pytest.raises(BackendUnavailableError, match="no NVIDIA GPU can be used here"):
        Cuda(FakeRuntime(devices=0))


def test_what_the_gpu_is(stage: Stage) -> None:
    device = stage.cuda.describe()
    assert (device.name, device.compute_capability, device.memory_mib) == ("Fake GPU", "8.7", 8192)
    assert (device.driver, device.runtime, device.integrated) == ("12.6", "12.6", False)
