from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
import torch
from torch import nn

from genx_export import export
from genx_export.passes import run_passes
from genx_runtimes import open_bundle
from genx_runtimes.errors import (
    GenxError,
    InputError,
    RandomnessError,
    SourceError,
    TraceError,
    VerificationError,
)
from genx_runtimes.verify import verify_bundle

Build = Callable[[str], nn.Module]
TINY = {"priors": ("z=normal:8", "label=categorical:4"), "output": "image:-1..1"}
FLAT = {"priors": ("z=normal:8",)}


def test_whole_path(models: str, tmp_path: Path) -> None:
    steps: list[str] = []
    out = tmp_path / "tiny.genx"
    report = export(f"{models}:Tiny", out, **TINY, progress=steps.append)  # type: ignore[arg-type]
    assert report.path == out
    assert report.max_error <= 1e-5
    assert report.components[0].passes[0] == "Simplify"
    assert steps[0] == "loading the model"
    assert steps[-1] == "writing the bundle"
    bundle = open_bundle(out)
    bundle.check_files()
    assert verify_bundle(bundle).passed
    assert bundle.manifest.made_by["opset"] == "20"
    assert bundle.manifest.golden.reference.startswith("torch ")
    graph = onnx.load_from_string(bundle.read_graph("generator"))
    assert [
        d.dim_param or d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim
    ] == [
        "batch",
        8,
    ]
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}


def test_golden_outputs_are_pytorchs_own(models: str, build: Build, tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    model = build("Tiny").eval()
    torch.save(model.state_dict(), weights)
    export(f"{models}:Tiny", tmp_path / "t.genx", weights=weights, **TINY)  # type: ignore[arg-type]
    golden = open_bundle(tmp_path / "t.genx").golden()
    with torch.inference_mode():
        expected = model(
            torch.from_numpy(golden["generator/in/z"]),
            torch.from_numpy(golden["generator/in/label"]),
        ).numpy()
    assert np.array_equal(golden["generator/out/image"], expected)


def test_the_same_export_gives_the_same_bytes(models: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(f"{models}:Tiny", tmp_path / name, as_zip=True, **TINY)  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_vae_has_both_components_verified(models: str, tmp_path: Path) -> None:
    report = export(
        f"{models}:Vae",
        tmp_path / "v.genx",
        family="vae",
        priors=("z=normal:4",),
        output="image:0..1",
    )
    assert [c.name for c in report.components] == ["encoder", "decoder"]
    checks = verify_bundle(open_bundle(tmp_path / "v.genx")).checks
    assert [(c.component, c.output) for c in checks] == [
        ("encoder", "mean"),
        ("encoder", "log_variance"),
        ("decoder", "image"),
    ]


def test_without_a_contract_the_output_is_a_tensor_and_images_are_noticed(
    models: str, tmp_path: Path
) -> None:
    report = export(f"{models}:Tiny", tmp_path / "t.genx", priors=TINY["priors"])
    assert open_bundle(tmp_path / "t.genx").manifest.output.kind == "tensor"
    assert any("--output image:-1..1" in warning for warning in report.warnings)


def test_values_outside_the_contract_are_told(models: str, tmp_path: Path) -> None:
    report = export(
        f"{models}:Tiny", tmp_path / "t.genx", priors=TINY["priors"], output="image:-0.01..0.01"
    )
    assert any("lies outside -0.01..0.01" in warning for warning in report.warnings)
    with pytest.raises(SourceError, match=r"has shape \(B, 8\), an image has \(B, 1 to 4, H, W\)"):
        export(f"{models}:Flat", tmp_path / "f.genx", priors=("z=normal:8",), output="image:0..1")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("SharedNoise", RandomnessError, r"normal noise \(tiny_models.py:\d+ .*of shape \(8,\)"),
        ("Shuffle", RandomnessError, r"aten.randperm \(tiny_models.py:\d+ "),
        ("NumpyNoise", RandomnessError, "gives different outputs for the same inputs"),
        ("FrozenNoise", RandomnessError, "tensor 'noise' is drawn anew each time"),
        ("FrozenBuffer", RandomnessError, "tensor 'noise' is drawn anew each time"),
        ("BatchDependent", TraceError, "depends on the other samples in its batch"),
        ("DataDependent", TraceError, "cannot be traced at tiny_models.py"),
        ("FixedBatch", TraceError, "fixes its batch size"),
        ("Scalar", TraceError, "expected the batch of 8 first"),
    ],
)
def test_what_cannot_be_a_bundle_is_refused_and_nothing_written(
    models: str, tmp_path: Path, name: str, error: type[GenxError], message: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(error, match=message):
        export(f"{models}:{name}", out / "x.genx", **FLAT)  # type: ignore[arg-type]
    assert list(out.iterdir()) == []


def test_drift_beyond_the_tolerance_writes_nothing(
    models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(graph: ir.Model) -> list[str]:
        changed = run_passes(graph)
        weight = next(iter(graph.graph.initializers.values()))
        assert weight.const_value is not None
        weight.const_value = ir.tensor(weight.const_value.numpy() * 1.01, name=weight.name)
        return changed

    monkeypatch.setitem(export.__globals__, "run_passes", damage)
    with pytest.raises(VerificationError, match=r"generator/output drifts .* by .*, allowed 1e-05"):
        export(f"{models}:Flat", tmp_path / "x.genx", **FLAT)  # type: ignore[arg-type]
    assert not (tmp_path / "x.genx").exists()
    report = export(f"{models}:Flat", tmp_path / "x.genx", tolerance=0.1, **FLAT)  # type: ignore[arg-type]
    assert 1e-5 < report.max_error < 0.1


def test_force(models: str, tmp_path: Path) -> None:
    out = tmp_path / "x.genx"
    export(f"{models}:Flat", out, **FLAT)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="exists already"):
        export(f"{models}:Flat", out, **FLAT)  # type: ignore[arg-type]
    export(f"{models}:Flat", out, force=True, as_zip=True, **FLAT)  # type: ignore[arg-type]
    assert out.is_file()
    export(f"{models}:Flat", out, force=True, **FLAT)  # type: ignore[arg-type]
    assert out.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        {"x.genx", "tiny_models.py", *(p.name for p in tmp_path.glob("__pycache__"))}
    )


def test_options_are_checked(models: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tolerance is 0"):
        export(f"{models}:Flat", tmp_path / "x", tolerance=0.0)
    with pytest.raises(InputError, match="name 'a b' has characters"):
        export(f"{models}:Flat", tmp_path / "x", name="a b")
    with pytest.raises(SourceError, match="the model has no prior to sample from"):
        export(f"{models}:Flat", tmp_path / "x")


@pytest.mark.parametrize("batch", ["1:1", "2:2", "3:5", "1:64"])
def test_bounds_of_the_batch(models: str, tmp_path: Path, batch: str) -> None:
    report = export(f"{models}:Flat", tmp_path / "x", batch=batch, **FLAT)  # type: ignore[arg-type]
    low, high = map(int, batch.split(":"))
    assert report.batch == (low, high)
    assert verify_bundle(open_bundle(tmp_path / "x")).passed


def test_exported_program_keeps_its_own_bounds(build: Build, tmp_path: Path) -> None:
    program = torch.export.export(
        build("Flat").eval(),
        (torch.zeros(2, 8),),
        dynamic_shapes={"z": {0: torch.export.Dim("batch", min=1, max=16)}},
        strict=False,
    )
    torch.export.save(program, tmp_path / "flat.pt2")
    report = export(tmp_path / "flat.pt2", tmp_path / "x", **FLAT)  # type: ignore[arg-type]
    assert report.batch == (1, 16)
    with pytest.raises(InputError, match=r"takes batches of 1 to 16, asked for 32 to 64; --batch"):
        export(tmp_path / "flat.pt2", tmp_path / "y", batch="32:64", **FLAT)  # type: ignore[arg-type]


ONNX = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,8] x) => (float[N,8] y) {y = Tanh(x)}"""


@pytest.mark.parametrize(("size", "batch"), [("N", (1, 64)), ("4", (4, 4)), ("128", (128, 128))])
def test_onnx_file(tmp_path: Path, size: str, batch: tuple[int, int]) -> None:
    path = tmp_path / "tanh.onnx"
    onnx.save(onnx.parser.parse_model(ONNX.replace("N", size)), path)
    report = export(path, tmp_path / "t.genx", **FLAT)  # type: ignore[arg-type]
    assert report.batch == batch
    assert verify_bundle(open_bundle(tmp_path / "t.genx")).passed


def test_onnx_files_that_other_engines_could_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tanh.onnx"
    onnx.save(onnx.parser.parse_model(ONNX.replace(": 20", ": 21")), path)
    with pytest.raises(TraceError, match="has opset 21, expected 9 to 20"):
        export(path, tmp_path / "t.genx", **FLAT)  # type: ignore[arg-type]
    onnx.save(onnx.parser.parse_model(ONNX.replace("Tanh", "RandomNormalLike")), path)
    with pytest.raises(RandomnessError, match="RandomNormalLike"):
        export(path, tmp_path / "t.genx", **FLAT)  # type: ignore[arg-type]
    assert not (tmp_path / "t.genx").exists()
