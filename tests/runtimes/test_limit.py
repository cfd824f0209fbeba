"""Distance to the limit: what is counted, what is measured, and the quotient."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest

from genx_runtimes.backends import find_backend
from genx_runtimes.backends.onnxruntime_profile import read_profile
from genx_runtimes.bench import node_profile
from genx_runtimes.bench.figures import Ceiling
from genx_runtimes.bench.limit import choose_ceiling, find_limit, list_rates
from genx_runtimes.bench.metered import Calls, meter
from genx_runtimes.bench.node_profile import (
    Profile,
    ProfiledNode,
    ProfileRequest,
    ask_profile,
    profile_bundle,
)
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import BackendError
from genx_runtimes.manifest import GraphCost, Manifest, NodeCost, VariantSpec
from genx_runtimes.session import NodeTime, SessionOptions, read_node_times

DATA = Path(__file__).parents[1] / "data"
needs_openvino = pytest.mark.skipif(
    not find_backend("openvino").is_installed(), reason="not installed"
)
ENGINES = ["onnxruntime", pytest.param("openvino", marks=needs_openvino)]


def ceiling(dtype: str, macs: float | None, moved: float | None = 1e6, **fields: str) -> Ceiling:
    return Ceiling(
        backend="onnxruntime",
        dtype=dtype,
        threads=2,
        macs_per_s=macs,
        bytes_per_s=moved,
        **fields,
    )


def choose(precision: str, *ceilings: Ceiling, threads: int = 2) -> Ceiling | str:
    return choose_ceiling(ceilings, backend="onnxruntime", precision=precision, threads=threads)


def test_a_precision_is_bounded_by_its_dtype_or_by_float32() -> None:
    fp32, int8 = ceiling("fp32", 1e9), ceiling("int8", 4e9)
    fp16 = ceiling("fp16", None, failure="does not multiply in fp16")
    assert choose("int8", fp32, fp16, int8) is int8
    for precision in ("fp32", "fp16", "int8-weights", "int4-weights"):
        assert choose(precision, fp32, fp16, int8) is fp32
    assert choose("fp16", fp16) == "does not multiply in fp16"
    assert choose("fp32", fp32, threads=1) == (
        "no ceiling of onnxruntime was measured at 1 threads"
    )


def make_manifest(*variants: tuple[str, str, GraphCost | None]) -> Manifest:
    manifest = open_bundle(DATA / "tiny.genx").manifest
    (base,) = manifest.variants
    made = tuple(
        msgspec.structs.replace(
            base, name=name, precision=precision, costs={} if cost is None else {"generator": cost}
        )
        for name, precision, cost in variants
    )
    return msgspec.structs.replace(manifest, variants=made)


def node_cost(macs: int) -> NodeCost:
    return NodeCost(name="a/Conv", output="conv2d_1", macs=macs)


NATIVE = GraphCost(macs=1000, weight_bytes=400, io_bytes=10, nodes=(node_cost(900),))
REWRITTEN = GraphCost(macs=2500, weight_bytes=800, io_bytes=10, nodes=(node_cost(2400),))
INT8 = GraphCost(macs=2500, weight_bytes=200, io_bytes=10, nodes=(node_cost(2400),))
MANIFEST = make_manifest(
    ("fp32", "fp32", NATIVE), ("fp32-rewritten", "fp32", REWRITTEN), ("int8", "int8", INT8)
)
# Two steps with guidance: 8 samples in 2 calls for a batch of 2.
PROFILE = Profile(
    calls=(Calls(component="generator", calls=2, samples=8, ms=4.0),),
    nodes=(
        ProfiledNode(
            component="generator",
            name="conv2d_1_nchwc",
            kind="Conv",
            ms=2.0,
            share=0.5,
            dtype="int8",
            origins=("conv2d_1",),
        ),
        ProfiledNode(component="generator", name="b/Tanh", kind="Tanh", ms=1.0, share=0.25),
    ),
)


RATES = {"fp32": 8e6, "int8": 3e7}


def variant(name: str) -> VariantSpec:
    return next(v for v in MANIFEST.variants if v.name == name)


def test_the_limit_by_hand() -> None:
    found = find_limit(
        MANIFEST,
        variant("fp32-rewritten"),
        PROFILE,
        batch=2,
        engine_ms=5.0,
        ceiling=ceiling("fp32", 8e6, 1e6),
        rates=RATES,
    )
    assert not isinstance(found, str)
    # The task takes what the native form takes, whatever ran.
    assert found.cost.macs == 1000 * 4
    assert found.cost.weight_bytes == 2 * 400
    assert found.cost.io_bytes == 10 * 4
    assert found.cost.steps == 2
    assert found.macs_per_s == pytest.approx(8000 / 5e-3)
    assert (found.ceiling, found.dtype) == ("compute", "fp32")
    assert found.of_limit == pytest.approx(8000 / 8e6 / 5e-3)
    (graph,) = found.graphs
    assert (graph.component, graph.calls, graph.macs) == ("generator", 2, 8000)
    assert graph.of_limit == pytest.approx(8000 / 8e6 / 4e-3)
    # A node is judged by what it really multiplies.
    conv, tanh = found.nodes
    assert conv.macs == 2400 * 8
    # And by the rate of its own dtype: a layer that a variant keeps in another one is no slower.
    assert (conv.dtype, conv.of_limit) == ("int8", pytest.approx(2400 * 8 / 3e7 / 2e-3))
    assert (tanh.macs, tanh.of_limit) == (None, None)


@pytest.mark.parametrize("dtype", ["bf16", ""])
def test_a_node_without_a_ceiling_of_its_dtype_is_not_judged(dtype: str) -> None:
    (conv, _) = PROFILE.nodes
    found = find_limit(
        MANIFEST,
        variant("int8"),
        msgspec.structs.replace(PROFILE, nodes=(msgspec.structs.replace(conv, dtype=dtype),)),
        batch=2,
        engine_ms=5.0,
        ceiling=ceiling("int8", 1e9),
        rates=RATES,
    )
    assert not isinstance(found, str)
    assert (found.nodes[0].macs, found.nodes[0].of_limit) == (2400 * 8, None)


def test_rates_are_those_of_the_same_engine_and_threads() -> None:
    one = msgspec.structs.replace(ceiling("int8", 5.0), threads=1)
    none = ceiling("fp16", None, failure="does not multiply in fp16")
    found = list_rates([ceiling("fp32", 2.0), one, none], backend="onnxruntime", threads=2)
    assert found == {"fp32": 2.0}


def test_memory_bounds_what_moves_much_and_multiplies_little() -> None:
    found = find_limit(
        MANIFEST,
        variant("int8"),
        PROFILE,
        batch=2,
        engine_ms=5.0,
        ceiling=ceiling("int8", 1e9, 1e5),
        rates=RATES,
    )
    assert not isinstance(found, str)
    assert found.cost.macs == 1000 * 4  # the fewest of any precision
    assert found.cost.weight_bytes == 2 * 200  # the fewest of its own
    assert found.ceiling == "memory"
    assert found.of_limit == pytest.approx((2 * 200 + 8 * 10) / 1e5 / 5e-3)


def test_a_bundle_without_costs_has_a_reason() -> None:
    manifest = make_manifest(("fp32", "fp32", None))
    found = find_limit(
        manifest,
        manifest.variants[0],
        PROFILE,
        batch=2,
        engine_ms=5.0,
        ceiling=ceiling("fp32", 1e9),
        rates=RATES,
    )
    assert isinstance(found, str)
    assert "the multiply-adds of 'generator' are not in the bundle" in found


def request(name: str, backend: str = "onnxruntime", batch: int = 2) -> ProfileRequest:
    return ProfileRequest(
        bundle=str(DATA / f"{name}.genx"), precision=None, backend=backend, batch=batch, threads=1
    )


@pytest.mark.parametrize("backend", ENGINES)
def test_a_profile_counts_calls_and_names_nodes(backend: str) -> None:
    profile = profile_bundle(request("tiny", backend))
    (calls,) = profile.calls
    assert (calls.component, calls.calls, calls.samples) == ("generator", 1, 2)
    assert calls.ms > 0
    assert not profile.failure
    assert 0 < len(profile.nodes) <= 10
    assert {node.component for node in profile.nodes} == {"generator"}
    times = [node.ms for node in profile.nodes]
    assert times == sorted(times, reverse=True)
    assert sum(node.share for node in profile.nodes) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("name", "calls", "samples"),
    # The diffusion steps are guided: twice the batch in each.
    [("tiny_diffusion", 5, 20), ("tiny_recurrent", 7, 14)],
)
def test_a_loop_is_counted_as_it_runs(name: str, calls: int, samples: int) -> None:
    profile = profile_bundle(request(name))
    assert [(c.calls, c.samples) for c in profile.calls] == [(calls, samples)]


def test_texts_that_end_early_are_counted_by_the_median_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Passes of 3, 12, 7, 12, 10, 12, 4, 2 and 12 calls, each of a millisecond."""
    ticking = partial(meter, clock=count(step=10**6).__next__)
    monkeypatch.setattr(node_profile, "meter", ticking)
    monkeypatch.setattr(node_profile, "_MOST", 9)
    monkeypatch.setattr(node_profile, "_SECONDS", 600)
    whole = NodeTime(name="all", kind="Gemm", dtype="fp32", ms=74.0)
    monkeypatch.setattr(node_profile, "read_node_times", lambda *_: [whole])
    profile = profile_bundle(request("tiny_tokens"))
    (calls,) = profile.calls
    assert (calls.calls, calls.samples, calls.ms) == (10, 20, pytest.approx(10.0))
    assert profile.nodes[0].ms == pytest.approx(10.0)  # 74 calls took 74 ms


def test_a_backend_that_does_not_tell_still_counts() -> None:
    profile = ask_profile(request("tiny", "null"))
    assert not isinstance(profile, str)
    assert profile.calls[0].calls == 1
    assert not profile.nodes
    assert profile.failure == "this backend does not tell what each node took"


def test_a_bundle_that_is_not_there_is_a_reason() -> None:
    reason = ask_profile(request("nothing"))
    assert isinstance(reason, str)
    assert "nothing.genx" in reason


@pytest.mark.parametrize("backend", ENGINES)
def test_nodes_are_timed_only_where_asked_for(backend: str) -> None:
    bundle = open_bundle(DATA / "tiny.genx")
    with (
        bundle.session("generator", backend=backend) as session,
        pytest.raises(BackendError, match="without `profile`"),
    ):
        read_node_times(session, 0)


def test_onnxruntime_leaves_no_profile_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    options = SessionOptions(profile=True, threads=1)
    with open_bundle(DATA / "tiny.genx").session("generator", options=options) as session:
        assert list(tmp_path.iterdir())
        assert read_node_times(session, 0) == ()
    assert not list(tmp_path.iterdir())


def test_runs_that_warm_up_are_left_out_of_a_profile() -> None:
    def node(name: str, taken: int) -> dict[str, object]:
        args = {"op_name": "Conv", "input_type_shape": [{"uint8": [1, 3]}, {"int8": [3]}]}
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": taken, "args": args}

    run = {"cat": "Session", "name": "model_run", "dur": 900}
    events = [
        {"cat": "Session", "name": "session_initialization", "dur": 5000},
        *(node("a", 800), node("b", 90), run),
        *(node("a", 100), node("b", 10), run),
        *(node("a", 200), node("b", 30), run),
    ]
    a, b = read_profile(msgspec.json.encode(events), 1)
    assert (a.name, a.kind, a.dtype, a.ms) == ("a", "Conv", "int8", pytest.approx(0.3))
    assert (b.name, b.ms) == ("b", pytest.approx(0.04))
    for name in ("c_token_12", "c_nchwc", "c/MatmulTransposeFusion/", "c"):
        (c,) = read_profile(msgspec.json.encode([node(name, 1)]), 0)
        assert (c.name, c.origins) == (name, ("c",))
    with pytest.raises(BackendError, match="a profile that cannot be read"):
        read_profile(b"[{", 0)
