"""Image-to-image models, from a module to translated pictures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from genx_export import QuantisationRecipe, export, quantize
from genx_export.sources.python_callable import find_callable
from genx_export.torch_contender import prepare_torch
from genx_runtimes import open_bundle
from genx_runtimes.bench.case import Case
from genx_runtimes.errors import BackendError, InputError, ManifestError, SourceError
from genx_runtimes.manifest import decode_manifest, encode_manifest
from genx_runtimes.verify import verify_bundle

pytestmark = pytest.mark.usefixtures("unmeasured")

MODELS = '''
import torch
from torch import nn
from torch.nn import functional
from genx_export import ModelSpec


class Net(nn.Module):
    """Two convolutions, which see two pixels around, and a pixel shuffle."""

    def __init__(self, channels=3, scale=1):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(channels, 8, 3, 1, 1)
        self.two = nn.Conv2d(8, channels * scale**2, 3, 1, 1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, image):
        return torch.sigmoid(self.shuffle(self.two(torch.relu(self.one(image)))))


class Noisy(Net):
    def forward(self, image, z):
        return super().forward(image + z)


def make(channels=3, scale=1, module=None, priors=None, output="made=image:0..1", **more):
    return ModelSpec(
        module=module or Net(channels, scale),
        family="translator",
        name="net",
        priors=priors or {},
        output=output,
        sampler={
            "image": "image",
            "tile": [channels, 16, 16],
            "range": [-1.0, 1.0],
            "overlap": 8,
            "scale": scale,
            **more,
        },
    )


def double():
    return make(scale=2)


def grey():
    return make(channels=1)


def noisy():
    return make(module=Noisy(), priors={"z": "normal:3x1x1"})


class Dropping(Net):
    def forward(self, image):
        return functional.dropout(super().forward(image), 0.5, training=True)


def dropping():
    return make(module=Dropping())


def wrong_scale():
    return make(module=Net(scale=2))


def wrong_overlap():
    return make(overlap=9)


def wrong_tile():
    return make(tile=[2, 16, 16])


def wrong_range():
    return make(range=[1.0, 1.0])


def wrong_name():
    return make(output="image=image:0..1")


def wrong_kind():
    return make(output="tensor")
'''
RECIPE = QuantisationRecipe(samples=16, calibration=16, min_psnr_db=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of nets that keep the size, and that double it; a recipe with examples."""
    folder = tmp_path_factory.mktemp("translate")
    (folder / "nets.py").write_text(MODELS)
    for name in ("make", "double", "noisy", "dropping"):
        export(f"{folder / 'nets.py'}:{name}", folder / f"{name}.genx")
    examples = np.random.RandomState(0).randint(0, 256, (40, 3, 16, 16)).astype(np.uint8)
    np.savez(folder / "examples.npz", image=examples)
    (folder / "recipe.toml").write_text(
        'model = "nets.py:Net"\nfamily = "translator"\nname = "net"\n'
        '[images]\nimage = "examples.npz"\n'
        '[output]\nname = "made"\nkind = "image"\nrange = [0.0, 1.0]\n'
        '[sampler]\nimage = "image"\ntile = [3, 16, 16]\nrange = [-1.0, 1.0]\noverlap = 8\n'
    )
    return folder


def test_noise_of_the_net_itself_is_decided_by_the_seed(folder: Path) -> None:
    bundle = open_bundle(folder / "dropping.genx")
    assert [(p.name, p.kind) for p in bundle.manifest.priors] == [("noise_0", "uniform")]
    assert verify_bundle(bundle).passed
    picture = _draw_picture(20, 24)
    with bundle.translator() as translator:
        first, again = (translator.translate(picture, seed=1) for _ in range(2))
        other = translator.translate(picture, seed=2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def _draw_picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)


def _run_whole(folder: Path, name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the module makes of the whole picture at once."""
    module = find_callable(f"{folder / 'nets.py'}:{name}")().module
    image = torch.from_numpy(pixels.transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    with torch.inference_mode():
        made = module(image)[0].numpy()
    return np.rint(made.transpose(1, 2, 0) * 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["make", "double"])
@pytest.mark.parametrize("size", [(16, 16), (17, 40), (61, 33)])
def test_tiles_give_what_the_whole_picture_gives(
    folder: Path, name: str, size: tuple[int, int]
) -> None:
    pixels = _draw_picture(*size)
    done: list[int] = []
    with open_bundle(folder / f"{name}.genx").translator(batch=5) as translator:
        made = translator.translate(pixels, progress=done.append)
        alone = translator.translate(pixels)
        assert sum(done) == len(translator.plan(*size))
    np.testing.assert_array_equal(made, alone)
    expected = _run_whole(folder, name, pixels)
    assert made.shape == expected.shape
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1
    assert np.ptp(expected) > 40


def test_pictures_smaller_than_a_tile_are_continued_by_their_reflection(folder: Path) -> None:
    pixels = _draw_picture(5, 3)
    with open_bundle(folder / "double.genx").translator() as translator:
        made = translator.translate(pixels)
    continued = np.pad(pixels, ((0, 11), (0, 13), (0, 0)), mode="symmetric")
    expected = _run_whole(folder, "double", continued)[:10, :6]
    assert made.shape == (10, 6, 3)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1


def test_the_bundle_says_what_it_takes_and_runs_without_pictures(folder: Path) -> None:
    bundle = open_bundle(folder / "double.genx")
    manifest = bundle.manifest
    assert manifest.priors == ()
    assert [(i.name, i.role) for i in manifest.components[0].inputs] == [("image", "data")]
    assert verify_bundle(bundle).passed
    golden = bundle.golden()["translator/in/image"]
    assert golden.shape == (8, 3, 16, 16)
    assert -1 <= golden.min() < -0.5 < 0.5 < golden.max() <= 1
    with bundle.sampler() as sampler:
        together = next(sampler.sample(3, seed=0, start=2)).output
        apart = next(sampler.sample(1, seed=0, start=4)).output
    expected = bundle.golden()["translator/out/made"]
    np.testing.assert_allclose(together, expected[2:5], atol=1e-5)
    np.testing.assert_allclose(apart[0], together[2], atol=1e-5)


def test_draws_belong_to_the_picture_not_to_the_tile(folder: Path) -> None:
    pixels = np.full((16, 40, 3), 90, np.uint8)
    with open_bundle(folder / "noisy.genx").translator() as translator:
        first = translator.translate(pixels, seed=1, index=4)
        again = translator.translate(pixels, seed=1, index=4)
        other = translator.translate(pixels, seed=1, index=5)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other.astype(int)).max() > 5
    inner = first[4:12, 4:36].astype(int)
    assert np.ptp(inner, axis=1).max() <= 1  # one draw for all tiles: no seam


def test_bundles_of_one_batch_size(folder: Path, tmp_path: Path) -> None:
    export(f"{folder / 'nets.py'}:make", tmp_path / "four.genx", batch="4")
    pixels = _draw_picture(16, 40)
    with open_bundle(tmp_path / "four.genx").translator() as translator:
        made = translator.translate(pixels)
    with open_bundle(folder / "make.genx").translator() as translator:
        expected = translator.translate(pixels)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1


def test_what_a_recipe_gives_is_golden_and_calibrates(folder: Path, tmp_path: Path) -> None:
    options = {"form": "native", "recipe": RECIPE}
    export(folder, tmp_path / "q.genx", precision=("fp32", "int8"), **options)  # type: ignore[arg-type]
    bundle = open_bundle(tmp_path / "q.genx")
    assert bundle.variant("int8").recipe["images"] == 40
    with np.load(folder / "examples.npz") as arrays:
        examples = {image.tobytes() for image in arrays["image"]}
    golden = bundle.golden()["translator/in/image"]
    as_pixels = np.rint((golden + 1) * 127.5).astype(np.uint8)
    assert all(image.tobytes() in examples for image in as_pixels)
    assert verify_bundle(bundle, precision="int8").passed
    export(folder, tmp_path / "f.genx")
    np.testing.assert_array_equal(
        open_bundle(tmp_path / "f.genx").golden()["translator/in/image"].shape, golden.shape
    )


def test_tiles_are_cut_from_a_folder_of_pictures(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for index, size in enumerate([(40, 30), (9, 50)]):
        Image.fromarray(_draw_picture(*size)).save(tmp_path / "photos" / f"{index}.png")
    target, images = tmp_path / "q.genx", {"image": tmp_path / "photos"}
    options = {"precision": ("fp32", "int8"), "form": "native", "recipe": RECIPE}
    quantize(folder / "make.genx", target, images=images, **options)  # type: ignore[arg-type]
    assert open_bundle(target).variant("int8").recipe["images"] == 2
    (tmp_path / "photos" / "1.png").unlink()
    with pytest.raises(InputError, match="photos has 1 images, expected 2 or more"):
        quantize(folder / "make.genx", target, images=images, force=True, **options)  # type: ignore[arg-type]


def test_int8_wants_real_images(folder: Path, tmp_path: Path) -> None:
    source, message = f"{folder / 'nets.py'}:make", r"calibrated and measured with real images.*"
    with pytest.raises(InputError, match=message + "--images image=FOLDER"):
        export(source, tmp_path / "q.genx", precision=("fp32", "int8"))
    with pytest.raises(InputError, match=message):
        quantize(folder / "make.genx", tmp_path / "q.genx")
    assert not (tmp_path / "q.genx").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"photo": np.zeros((20, 3, 16, 16), np.uint8)}, "e.npz has photo, expected .image."),
        ({"image": np.zeros((20, 3, 8, 8), np.uint8)}, r"expected \(N, 3, 16, 16\)"),
        ({"image": np.zeros((4, 3, 16, 16), np.uint8)}, "has 4 images, expected 16 or more"),
        ({"image": np.full((20, 3, 16, 16), 3.0, np.float32)}, "spans 3 to 3, the input takes -1"),
        ({"image": np.zeros((20, 3, 16, 16), np.int64)}, "is int64, expected uint8 or float32"),
    ],
)
def test_examples_that_do_not_fit(
    folder: Path, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(InputError, match=message):
        export(folder, tmp_path / "n.genx", images={"image": tmp_path / "e.npz"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong_scale", "tiles of 16 x 16 become 32 x 32, with scale 1 they are 16 x 16"),
        ("wrong_overlap", "overlap is 9, expected 0 to 8, half a tile"),
        ("wrong_tile", "tile is 2 x 16 x 16, expected 1, 3 or 4 channels"),
        ("wrong_range", "range is 1 to 1, expected low < high"),
        ("wrong_name", "input and output are both called 'image'"),
        ("wrong_kind", "makes images of 8 bits a channel; --output image:0..1"),
    ],
)
def test_models_that_are_refused(folder: Path, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        export(f"{folder / 'nets.py'}:{name}", tmp_path / "n.genx")


def test_arrays_and_manifests_that_are_refused(folder: Path) -> None:
    bundle = open_bundle(folder / "make.genx")
    with bundle.translator() as translator:
        for shape, dtype in (((16, 16), "uint8"), ((16, 16, 1), "uint8"), ((9, 9, 3), "float32")):
            with pytest.raises(InputError, match=r"expected uint8 \(H, W, 3\)"):
                translator.translate(np.zeros(shape, dtype))
    with pytest.raises(InputError, match="batch is 65, this bundle takes 1 to 64"):
        bundle.translator(batch=65)
    manifest = bundle.manifest
    other = msgspec.structs.replace(manifest.sampler, tile=(3, 8, 8), overlap=4)
    with pytest.raises(ManifestError, match=r"'image' of 'translator' is .*float32 \(3, 8, 8\)"):
        decode_manifest(encode_manifest(msgspec.structs.replace(manifest, sampler=other)))


def test_what_an_engine_breaks_is_no_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_bundle(folder / "make.genx").translator() as translator:
        made = {"made": np.full((1, 3, 16, 16), np.nan, np.float32)}
        monkeypatch.setattr(type(translator.session), "run", lambda *_: made)
        monkeypatch.delattr(type(translator.session), "run_batches", raising=False)
        with pytest.raises(BackendError, match="holds NaN or infinity"):
            translator.translate(_draw_picture(16, 16))


def test_torch_does_the_same_in_bench(folder: Path) -> None:
    case = Case(
        bundle=str(folder / "double.genx"),
        precision=None,
        backend="",
        source=f"{folder / 'nets.py'}:double",
        batch=2,
        threads=1,
        seed=0,
        start=0,
        seconds=0.1,
        warm_up_s=0.1,
    )
    with prepare_torch(case) as prepared:
        pixels = prepared.draw(case.batch)
    with open_bundle(folder / "double.genx").sampler() as sampler:
        expected = next(sampler.sample(2)).images()
    assert np.abs(np.asarray(pixels).astype(int) - expected.astype(int)).max() <= 1
