"""Which engine and variant is recommended for a bundle."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.runtimes.machines import (
    ORIN_NANO,
    RASPBERRY_PI_5,
    RTX_DESKTOP,
    THOR,
    VM,
    XAVIER,
    Tree,
    no_gpu,
    record,
)

from genx_runtimes import recommend as module
from genx_runtimes.backends import Backend
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.child import Outcome
from genx_runtimes.doctor import examine
from genx_runtimes.probe import Finding
from genx_runtimes.processor import read_instruction_sets
from genx_runtimes.recommend import Recommendation, recommend
from genx_runtimes.tuning import Combination, Tuning

MakeBundle = Callable[..., Bundle]
ALL = ("fp32", "fp16", "int8 cpu")
EVERYWHERE = ("onnxruntime", "openvino")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def make_bundle(
    edit_manifest: Callable[[Callable[[dict[str, object]], None]], Path],
) -> MakeBundle:
    """Return a maker of bundles with variants such as "int8 tensorrt": precision and target."""

    def make(*variants: str) -> Bundle:
        def change(manifest: dict[str, object]) -> None:
            (first,) = manifest["variants"]  # type: ignore[misc]
            made = []
            for precision, _, target in (text.partition(" ") for text in variants):
                recipe = {"target": target} if target else {}
                made.append({**first, "name": precision, "precision": precision, "recipe": recipe})
            manifest["variants"] = made

        return open_bundle(edit_manifest(change))

    return make


def ask(bundle: Bundle, *working: str, sets: tuple[str, ...] = ()) -> Recommendation:
    (found,) = recommend(bundle, working=working, instruction_sets=sets)
    assert found.bundle == str(bundle.path)
    return found


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        (("fp32", "fp16", "int8 tensorrt"), "int8"),
        (("fp32", "fp16", "int8 cpu"), "fp16"),
        (("fp32", "fp16", "int8"), "fp16"),
        (("fp32", "int8 cpu"), "fp32"),
        (("fp32", "int8-weights tensorrt"), "fp32"),
    ],
)
def test_tensorrt_takes_the_int8_made_for_it_else_half_precision(
    make_bundle: MakeBundle, engine: str, variants: tuple[str, ...], expected: str
) -> None:
    bundle = make_bundle(*variants)
    found = ask(bundle, engine, "onnxruntime:cuda", *EVERYWHERE, sets=("avx512_vnni",))
    assert (found.backend, found.variant, found.measured) == (engine, expected, False)
    path = shlex.quote(str(bundle.path))
    assert found.command == f"genx build {path} --target {engine}"
    assert found.reason.startswith(f"rule of thumb: {engine} works here")
    assert found.reason.endswith(f"; genx tune {path} measures")
    assert ("genx quantize" in found.reason) == (expected != "int8")


@pytest.mark.parametrize(("variants", "expected"), [(ALL, "fp16"), (("fp32",), "fp32")])
def test_onnxruntime_on_the_gpu(
    make_bundle: MakeBundle, variants: tuple[str, ...], expected: str
) -> None:
    found = ask(make_bundle(*variants), "onnxruntime:cuda", *EVERYWHERE, sets=("i8mm",))
    assert (found.backend, found.variant, found.command) == ("onnxruntime:cuda", expected, "")


@pytest.mark.parametrize(
    ("tree", "working", "variants", "expected", "because"),
    [
        (VM, EVERYWHERE, ALL, ("openvino", "int8"), "AVX-512 VNNI int8 and AMX int8"),
        (RTX_DESKTOP, EVERYWHERE, ALL, ("openvino", "int8"), "AVX-512 VNNI int8"),
        (RASPBERRY_PI_5, EVERYWHERE, ALL, ("openvino", "int8"), "NEON int8 dot product"),
        (ORIN_NANO, EVERYWHERE, ALL, ("openvino", "int8"), "NEON int8 dot product"),
        (THOR, EVERYWHERE, ALL, ("openvino", "int8"), "NEON int8 matrix multiply"),
        (XAVIER, EVERYWHERE, ALL, ("onnxruntime", "fp32"), "no instructions known"),
        (VM, ("onnxruntime",), ALL, ("onnxruntime", "fp32"), "openvino, which does not work"),
        (VM, ("openvino",), ("fp32",), ("openvino", "fp32"), "--precision fp32,int8 makes"),
        (VM, EVERYWHERE, ("fp32",), ("onnxruntime", "fp32"), "--precision fp32,int8 makes"),
        (
            VM,
            EVERYWHERE,
            ("fp32", "int8 tensorrt"),
            ("onnxruntime", "fp32"),
            "the bundle no int8 for it",
        ),
        (XAVIER, ("openvino",), ("fp16", "int8 cpu"), ("openvino", "fp16"), "no instructions"),
    ],
)
def test_cpus(
    tmp_path: Path,
    make_bundle: MakeBundle,
    tree: Tree,
    working: tuple[str, ...],
    variants: tuple[str, ...],
    expected: tuple[str, str],
    because: str,
) -> None:
    sets = read_instruction_sets(record(tmp_path, tree))
    assert sets is not None
    found = ask(make_bundle(*variants), *working, sets=sets)
    assert (found.backend, found.variant) == expected
    assert because in found.reason
    assert found.reason.startswith("rule of thumb: ")


def test_nothing_works(make_bundle: MakeBundle) -> None:
    assert recommend(make_bundle(*ALL), working=(), instruction_sets=("i8mm",)) == ()


def measured(batch: int, *times: tuple[str, str, float]) -> Tuning:
    (base,) = (ms for backend, _, ms in times if backend == "onnxruntime")
    return Tuning(
        digest="",
        goal="latency",
        batches=(batch,),
        machine="",
        combinations=tuple(
            Combination(
                backend=backend,
                variant=variant,
                threads=2,
                p50_ms=ms,
                batch=batch,
                is_default=backend == "onnxruntime",
                gain=None if backend == "onnxruntime" else base / ms,
                rounds=5,
                faster_in=5 if ms < base else 0,
            )
            for backend, variant, ms in times
        ),
    )


def test_what_was_measured_comes_before_any_rule(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunings = (
        measured(1, ("onnxruntime", "fp32", 1.0), ("openvino", "int8", 2.0)),
        measured(16, ("openvino", "int8", 4.0), ("onnxruntime", "fp32", 6.0)),
    )
    monkeypatch.setattr(module, "recall", lambda _: tunings)
    bundle = make_bundle(*ALL)
    one, many = recommend(bundle, working=EVERYWHERE, instruction_sets=("amx_int8",))
    assert one == Recommendation(
        bundle=str(bundle.path),
        batch=1,
        backend="onnxruntime",
        variant="fp32",
        measured=True,
        reason="measured on this machine: the default, onnxruntime fp32 with 2 threads, 1.000 ms "
        "at batch 1: nothing was clearly faster; openvino int8 with 2 threads: 0.50 x its speed, "
        "faster in 0 of 5 rounds",
    )
    assert (many.batch, many.backend, many.variant) == (16, "openvino", "int8")
    # What was the fastest and does not work any more is not recommended.
    (left,) = recommend(bundle, working=("onnxruntime",), instruction_sets=())
    assert left == one


@pytest.mark.parametrize(
    ("works", "expected"),
    [
        (("", "CUDAExecutionProvider"), ["onnxruntime:cuda"]),
        (("",), ["onnxruntime"]),
        ((), []),
    ],
)
def test_doctor_recommends_only_what_it_saw_working(
    tmp_path: Path, make_bundle: MakeBundle, works: tuple[str, ...], expected: list[str]
) -> None:
    providers = ("CUDAExecutionProvider", "CPUExecutionProvider")

    def probe(backend: str, provider: str) -> Outcome:
        if provider not in works:
            return Outcome(output=b"", failure="libcudart.so: cannot open shared object file")
        return Outcome(output=msgspec.json.encode(Finding(version="1", providers=providers)))

    engine = Backend(
        name="onnxruntime", module="x", requires="numpy", install="pip install it", summary=""
    )
    report = examine(
        tmp_path, bundles=[make_bundle(*ALL)], backends=[engine], probe=probe, ask_gpus=no_gpu
    )
    assert [r.backend for r in report.recommendations] == expected
