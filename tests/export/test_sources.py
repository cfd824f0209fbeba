from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import safetensors.torch
import torch
from torch import nn

from genx_export.sources import SourceRequest, load_source
from genx_runtimes.errors import ExportError, InputError, SourceError, WeightsError
from genx_runtimes.manifest import CategoricalPrior, NormalPrior

Build = Callable[[str], nn.Module]
NOTHING = SourceRequest()
RECIPE = """
name = "tiny"
model = "tiny_models.py:Tiny"
weights = "w.safetensors"
[priors.z]
kind = "normal"
shape = [8]
[priors.label]
kind = "categorical"
classes = 4
labels = ["a", "b", "c", "d"]
[output]
name = "image"
kind = "image"
range = [-1.0, 1.0]
"""


@pytest.fixture
def folder(build: Build, models: str) -> Path:
    folder = Path(models).parent
    safetensors.torch.save_file(build("Tiny").state_dict(), folder / "w.safetensors")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def test_callable(models: str) -> None:
    loaded = load_source(f"{models}:Tiny", NOTHING)
    assert loaded.name == "tiny"
    assert loaded.family.name == "generator"
    assert dict(loaded.components[0].parameters) == {"z": True, "label": True}
    assert loaded.warnings[0].startswith("no --weights")


def test_spec_carries_priors_and_output_and_flags_replace_them(models: str) -> None:
    wide = NormalPrior(name="z", shape=(9,))
    loaded = load_source(f"{models}:make_spec", SourceRequest(priors=(wide,), name="other"))
    assert loaded.priors == (wide, CategoricalPrior(name="label", classes=4))
    assert loaded.output is not None
    assert loaded.output.range == (-1.0, 1.0)
    assert loaded.name == "other"


def test_package_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert load_source("tiny_models:Flat", NOTHING).name == "flat"
    with pytest.raises(SourceError, match="module 'tiny_modles' cannot be imported: ModuleNotFou"):
        load_source("tiny_modles:Flat", NOTHING)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Tinny", "'Tinny' is not there in .*; did you mean 'Tiny'"),
        ("make_with_argument", "failed: TypeError: .*make it callable without arguments"),
        ("make_nothing", "returned a int, expected an nn.Module; return the model, or genx_export"),
        ("make_half", r"linear.weight is float16 on cpu, expected float32 on cpu"),
        ("MODELS", "is not there"),
    ],
)
def test_bad_callables(models: str, name: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        load_source(f"{models}:{name}", NOTHING)


def test_files_that_are_not_there_or_fail(models: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*did you mean 'tiny_models.py'"):
        load_source(f"{tmp_path}/tiny_model.py:Tiny", NOTHING)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    with pytest.raises(SourceError, match=r"broken.py cannot be imported: ModuleNotFoundError"):
        load_source(f"{tmp_path}/broken.py:Tiny", NOTHING)
    with pytest.raises(SourceError, match=r"nowhere is not there; give a folder with a recipe"):
        load_source(str(tmp_path / "nowhere"), NOTHING)
    with pytest.raises(SourceError, match=r"tiny_models.py names a file .*tiny_models.py:CALLABLE"):
        load_source(models, NOTHING)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(SourceError, match=r"notes.txt is no kind of source that genx knows"):
        load_source(str(tmp_path / "notes.txt"), NOTHING)


def test_recipe(folder: Path) -> None:
    loaded = load_source(str(folder), NOTHING)
    assert loaded.name == "tiny"
    assert loaded.priors[0] == NormalPrior(name="z", shape=(8,))
    assert isinstance(loaded.priors[1], CategoricalPrior)
    assert loaded.priors[1].labels == ("a", "b", "c", "d")
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "tiny"', 'nmae = "tiny"', "unknown field `nmae`"),
        ('kind = "normal"', 'kind = "gaussian"', r"priors.z: Invalid value 'gaussian'"),
        ("shape = [8]", 'shape = "8"', "priors.z: Expected `array`, got `str`"),
        ("[priors.z]", "[priors.z", "recipe.toml: .*see docs/recipe.md"),
        ("[output]", '[components.decoder]\ncall = "x"\n[output]', "has no component 'decoder'"),
        ('name = "tiny"', 'family = "vea"', "unknown family 'vea'; did you mean 'vae'"),
        ("tiny_models.py:Tiny", "tiny_models.py:Tony", "did you mean 'Tiny'"),
        ("w.safetensors", "v.safetensors", "there is no weights file .*v.safetensors"),
        (
            "model = ",
            "mode = ",
            "unknown field `mode`|missing required",
        ),
    ],
)
def test_bad_recipes(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "recipe.toml").write_text(RECIPE.replace(old, new), encoding="utf-8")
    with pytest.raises((ExportError, InputError), match=message):
        load_source(str(folder), NOTHING)


def test_a_folder_without_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no .*recipe.toml; write one: see docs/recipe"):
        load_source(str(tmp_path), NOTHING)


def test_vae_is_cut_into_sub_modules(models: str) -> None:
    loaded = load_source(f"{models}:Vae", SourceRequest(family="vae"))
    assert [c.name for c in loaded.components] == ["encoder", "decoder"]
    with pytest.raises(SourceError, match="family 'vae' needs 'encoder' in Flat"):
        load_source(f"{models}:Flat", SourceRequest(family="vae"))


def test_a_method_can_be_a_component(folder: Path) -> None:
    (folder / "recipe.toml").write_text(
        'model = "tiny_models.py:Vae"\n[components.generator]\ncall = "decode_twice"\n'
        '[priors.z]\nkind = "normal"\nshape = [4]\n',
        encoding="utf-8",
    )
    component = load_source(str(folder), NOTHING).components[0]
    z = np.ones((2, 4), np.float32)
    assert component.run({"z": z})["output"].shape == (2, 1, 8, 8)
    (folder / "recipe.toml").write_text(
        'model = "tiny_models.py:Vae"\n[components.generator]\ncall = "half"\n', encoding="utf-8"
    )
    with pytest.raises(SourceError, match="needs 'half' in Vae, which is not there"):
        load_source(str(folder), NOTHING)


def _save_program(build: Build, path: Path, *, dynamic: bool = True) -> None:
    batch = {0: torch.export.Dim("batch", min=1, max=16)} if dynamic else None
    module = build("Flat").eval()
    program = torch.export.export(
        module, (torch.zeros(2, 8),), dynamic_shapes={"z": batch}, strict=False
    )
    torch.export.save(program, path)


def test_exported_program(build: Build, tmp_path: Path) -> None:
    _save_program(build, tmp_path / "flat.pt2")
    loaded = load_source(str(tmp_path / "flat.pt2"), NOTHING)
    component = loaded.components[0]
    assert component.bounds is not None
    assert (component.bounds.min, component.bounds.max) == (1, 16)
    z = np.ones((3, 8), np.float32)
    expected = build("Flat")(torch.from_numpy(z)).detach().numpy()
    assert np.allclose(component.run({"z": z})["output"], expected)
    with pytest.raises(SourceError, match="takes 8 a sample, its prior gives 9; --prior z=nor"):
        component.run({"z": np.ones((3, 9), np.float32)})


def test_exported_program_of_fixed_batch(build: Build, tmp_path: Path) -> None:
    _save_program(build, tmp_path / "flat.pt2", dynamic=False)
    bounds = load_source(str(tmp_path / "flat.pt2"), NOTHING).components[0].bounds
    assert bounds is not None
    assert (bounds.min, bounds.max) == (2, 2)


def test_bad_exported_programs(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "flat.pt2"
    with pytest.raises(SourceError, match="there is no file"):
        load_source(str(path), NOTHING)
    _save_program(build, path)
    with pytest.raises(InputError, match="leave out --weights and --family"):
        load_source(str(path), SourceRequest(weights=path))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SourceError, match="is truncated or not a torch"):
        load_source(str(path), NOTHING)
    broken = build("Flat")
    with torch.no_grad():
        broken.get_parameter("linear.bias")[0] = float("nan")
    torch.export.save(torch.export.export(broken, (torch.zeros(2, 8),), strict=False), path)
    with pytest.raises(WeightsError, match=r"linear.bias in .*flat.pt2 holds NaN"):
        load_source(str(path), NOTHING)


def _save_onnx(path: Path, text: str) -> None:
    onnx.save(onnx.parser.parse_model(text), path)


LINEAR = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,2] z) => (float[N,2] y) <float[2,2] w = {1.0, 2.0, 3.0, 4.0}> {y = MatMul(z, w)}"""


def test_onnx_file(tmp_path: Path) -> None:
    _save_onnx(tmp_path / "linear.onnx", LINEAR)
    loaded = load_source(str(tmp_path / "linear.onnx"), NOTHING)
    component = loaded.components[0]
    assert loaded.reference.startswith("onnxruntime ")
    assert dict(component.parameters) == {"z": True}
    assert component.bounds is None
    z = np.array([[1, 0], [0, 1]], np.float32)
    assert component.run({"z": z})["y"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(SourceError, match="takes 2 a sample, its prior gives 3"):
        component.run({"z": np.ones((1, 3), np.float32)})
    with pytest.raises(SourceError, match="onnxruntime cannot run component 'generator'"):
        component.run({"z": z.astype(np.float64)})


def test_onnx_file_of_fixed_batch(tmp_path: Path) -> None:
    _save_onnx(tmp_path / "linear.onnx", LINEAR.replace("N,2", "4,2"))
    bounds = load_source(str(tmp_path / "linear.onnx"), NOTHING).components[0].bounds
    assert bounds is not None
    assert (bounds.min, bounds.max) == (4, 4)


def test_bad_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    with pytest.raises(SourceError, match="there is no file"):
        load_source(str(path), NOTHING)
    _save_onnx(path, LINEAR)
    with pytest.raises(InputError, match="leave out --weights"):
        load_source(str(path), SourceRequest(weights=path))
    whole = path.read_bytes()
    for damaged in (whole[:-30], b"", b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match="is truncated or not valid ONNX"):
            load_source(str(path), NOTHING)
    model = onnx.load_from_string(whole)
    weights = onnx.numpy_helper.from_array(np.full((2, 2), np.nan, np.float32), "w")
    model.graph.initializer[0].CopyFrom(weights)
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=r"w in .*linear.onnx holds NaN"):
        load_source(str(path), NOTHING)
