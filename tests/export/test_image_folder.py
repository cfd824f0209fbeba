"""Folders of images as calibration samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from genx_export import QuantisationRecipe, export, quantize
from genx_export.quantisation.image_folder import read_images
from genx_export.quantisation.material import draw_from_bundle, find_base
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError

pytestmark = pytest.mark.usefixtures("unmeasured")

RECIPE = QuantisationRecipe(samples=16, calibration=16, min_psnr_db=20)
COUNTS = (16, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 images of 20 x 12, left half black, right half of a brightness that tells them apart."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for index in range(24):
        pixels = np.zeros((12, 20, 3), np.uint8)
        pixels[:, 10:] = 10 * index
        where = tmp_path / "photos" / ("more" if index % 2 else "")
        Image.fromarray(pixels).save(where / f"{index}.png")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def net(models: str, tmp_path: Path) -> Path:
    """An image-to-image net on (B, 1, 8, 8) in -1..1."""
    priors = ["photo=uniform:1x8x8:-1..1"]
    export(f"{models}:Blur", tmp_path / "n.genx", priors=priors, output="image:-1..1")
    return tmp_path / "n.genx"


def test_images_become_what_the_input_takes(net: Path, folder: Path) -> None:
    given = read_images({"photo": folder}, open_bundle(net).manifest, RECIPE, COUNTS)
    assert given.files == 24
    seen = []
    for side in (given.calibration, given.fresh):
        images = side["photo"]
        assert (images.shape, images.dtype) == ((16, 1, 8, 8), np.float32)
        assert images[:, :, :, 0].max() == -1  # black on the left
        seen.append({round(float(v * 127.5 + 127.5)) for v in images[:, 0, 4, 7]})
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == {10 * index for index in range(24)}


def test_the_encoder_of_a_vae_sees_images_in_the_range_of_the_output(
    models: str, tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "v.genx"
    priors, output = ["z=normal:4"], "image:0..1"
    export(f"{models}:Vae", path, family="vae", priors=priors, output=output)
    bundle = open_bundle(path)
    given = read_images({"image": folder}, bundle.manifest, RECIPE, COUNTS)
    assert given.fresh["image"].min() == 0
    material = draw_from_bundle(bundle, find_base(bundle.manifest), RECIPE, given)
    np.testing.assert_array_equal(material["encoder"].fresh["image"], given.fresh["image"])
    assert material["decoder"].fresh["z"].shape == (16, 4)


@pytest.mark.parametrize("from_bundle", [False, True])
def test_ranges_are_those_of_the_images(
    models: str, tmp_path: Path, net: Path, folder: Path, from_bundle: bool
) -> None:
    path = tmp_path / "q.genx"
    images = {"photo": folder}
    if from_bundle:
        quantize(net, path, form="native", recipe=RECIPE, images=images)
    else:
        export(
            f"{models}:Blur",
            path,
            priors=["photo=uniform:1x8x8:-1..1"],
            output="image:-1..1",
            precision=("fp32", "int8"),
            form="native",
            recipe=RECIPE,
            images=images,
        )
    bundle = open_bundle(path)
    assert bundle.variant("int8").recipe["images"] == 24
    graph = onnx.load_from_string(bundle.read_graph("generator", "int8")).graph
    (rounding,) = (n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "photo")
    (scale,) = (
        float(onnx.numpy_helper.to_array(t))
        for t in graph.initializer
        if t.name == rounding.input[1]
    )
    # Half of the images, of 0 to 230, have been seen; the prior would be 2 / 255 wide.
    assert 1.2 / 255 < scale < 1.9 / 255


def test_images_without_anything_to_calibrate(models: str, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="images are for calibration"):
        export(f"{models}:Flat", tmp_path / "f.genx", priors=["z=normal:8"], images={"z": folder})


def test_pixels_of_sixteen_bits_are_refused(net: Path, folder: Path) -> None:
    Image.fromarray(np.full((12, 20), 40_000, np.uint16)).save(folder / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png has pixels of more than 8 bits"):
        read_images({"photo": folder}, open_bundle(net).manifest, RECIPE, COUNTS)


@pytest.mark.parametrize(
    ("mode", "colour", "message"),
    [
        ("RGB", (255, 0, 0), r"odd\.png has colours, the model takes grey"),
        ("LA", (9, 100), r"odd\.png is transparent in places, the model takes opaque"),
    ],
)
def test_pictures_that_would_lose_something_are_refused(
    net: Path, folder: Path, mode: str, colour: tuple[int, ...], message: str
) -> None:
    Image.new(mode, (20, 12), colour).save(folder / "odd.png")
    with pytest.raises(InputError, match=message):
        read_images({"photo": folder}, open_bundle(net).manifest, RECIPE, COUNTS)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"foto": "photos"}, "no input 'foto'.*photo"),
        ({"photo": "nowhere"}, "nowhere is no folder"),
        ({"photo": "photos/more"}, "has 12 images, expected 16 or more"),
    ],
)
def test_folders_that_do_not_fit(
    net: Path, folder: Path, images: dict[str, str], message: str
) -> None:
    folders = {name: folder.parent / path for name, path in images.items()}
    with pytest.raises(InputError, match=message):
        read_images(folders, open_bundle(net).manifest, RECIPE, COUNTS)


def test_a_broken_image_is_named(net: Path, folder: Path) -> None:
    (folder / "5.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(InputError, match=r"5\.jpg cannot be read as a picture"):
        read_images({"photo": folder}, open_bundle(net).manifest, RECIPE, COUNTS)


@pytest.mark.parametrize(
    ("prior", "message"),
    [("z=normal:1x8x8", "range of input 'z' is not known; .*--prior z=uniform:1x8x8:-1..1")],
)
def test_inputs_that_take_no_images(
    models: str, tmp_path: Path, folder: Path, prior: str, message: str
) -> None:
    export(f"{models}:Blur", tmp_path / "z.genx", priors=[prior], output="image:-1..1")
    with pytest.raises(InputError, match=message):
        read_images({"z": folder}, open_bundle(tmp_path / "z.genx").manifest, RECIPE, COUNTS)
    export(f"{models}:Flat", tmp_path / "f.genx", priors=["z=normal:8"])
    with pytest.raises(InputError, match=r"input 'z' has shape \(8,\), an image has"):
        read_images({"z": folder}, open_bundle(tmp_path / "f.genx").manifest, RECIPE, COUNTS)
