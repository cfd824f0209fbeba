"""`genx translate`: picture files in, picture files out, all or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run, list_files

from genx_runtimes import open_bundle

MODEL = '''
import torch
from torch import nn
from genx_export import ModelSpec


class Repeat(nn.Module):
    """Every pixel twice along each side, inverted."""

    def __init__(self):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, image):
        return self.up(1 - image)


class Shade(Repeat):
    """The same, as dark as its label says, and drawn where nobody does."""

    def forward(self, image, shade):
        return super().forward(image) * (shade / 4).reshape(-1, 1, 1, 1)


def make_shaded():
    spec = make()
    return ModelSpec(
        module=Shade(),
        family="translator",
        name="shaded",
        priors={"shade": "categorical:5"},
        output=spec.output,
        sampler=spec.sampler,
    )


def make():
    sampler = {"image": "image", "tile": [3, 8, 8], "range": [0.0, 1.0], "overlap": 4, "scale": 2}
    output = "inverted=image:0..1"
    return ModelSpec(
        module=Repeat(), family="translator", name="invert", output=output, sampler=sampler
    )
'''
COLOUR = np.random.RandomState(0).randint(0, 256, (11, 19, 3)).astype(np.uint8)
ALPHA = np.full((11, 19), 77, np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from genx_export import export

    folder = tmp_path_factory.mktemp("bundle")
    (folder / "invert_model.py").write_text(MODEL)
    export(f"{folder / 'invert_model.py'}:make", folder / "invert.genx")
    return folder / "invert.genx"


@pytest.fixture(scope="module")
def shaded(bundle: Path) -> Path:
    from genx_export import export

    export(f"{bundle.parent / 'invert_model.py'}:make_shaded", bundle.parent / "shaded.genx")
    return bundle.parent / "shaded.genx"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, a note and a sub-folder."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(COLOUR).save(folder / "colour.png")
    Image.fromarray(np.dstack([COLOUR, ALPHA])).save(folder / "clear.webp", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(COLOUR).copy()).save(folder / "turned.tif", exif=exif)
    (folder / "notes.txt").write_text("no picture")
    return folder


def _invert(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels.repeat(2, 0).repeat(2, 1)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_there_is_nothing_to_generate(genx: Run, bundle: Path) -> None:
    done = genx("generate", bundle, "-n", 4, "-o", "x")
    assert done.code == 2
    assert "turns pictures into others, there is nothing to draw; genx translate" in done.err


def test_a_file(genx: Run, bundle: Path, photos: Path, tmp_path: Path) -> None:
    done = genx("translate", bundle, photos / "colour.png", "-o", "out.png")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "wrote out.png: 1 picture in 8 tiles, by invert",
        f"next: genx bench {bundle}",
    ]
    np.testing.assert_array_equal(_read(tmp_path / "out.png"), _invert(COLOUR))
    again = genx("translate", bundle, photos / "colour.png", "-o", "out.png")
    assert again.code == 2
    assert "out.png exists already; --force replaces it" in again.err
    assert genx("translate", bundle, photos, "-o", "out.png", "--force").code == 2


def test_a_folder(genx: Run, bundle: Path, photos: Path, tmp_path: Path) -> None:
    done = genx("translate", bundle, photos, "-o", "out", "--batch", 3, "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert result["files"] == [f"out/{name}.png" for name in ("clear", "colour", "turned")]
    assert list_files(tmp_path / "out") == {"clear.png", "colour.png", "turned.png"}
    np.testing.assert_array_equal(_read(tmp_path / "out" / "turned.png"), _invert(COLOUR))
    clear = _read(tmp_path / "out" / "clear.png")
    np.testing.assert_array_equal(clear[:, :, :3], _invert(COLOUR))
    np.testing.assert_array_equal(clear[:, :, 3], 77)
    (tmp_path / "out" / "mine.txt").write_text("stays")
    (tmp_path / "out" / "colour.png").unlink()
    refused = genx("translate", bundle, photos, "-o", "out")
    assert "out/clear.png exists already" in refused.err
    assert not (tmp_path / "out" / "colour.png").exists()
    told = genx("translate", bundle, photos, "-o", "out", "--force")
    assert told.code == 0
    assert "2 other files and folders are no pictures and were left alone" in told.err
    assert (tmp_path / "out" / "mine.txt").read_text() == "stays"


def test_what_the_model_is_told_besides(
    genx: Run, shaded: Path, photos: Path, tmp_path: Path
) -> None:
    picture = photos / "colour.png"
    assert genx("translate", shaded, picture, "-o", "x.png", "--set", "shade=2").code == 0
    expected = np.rint(_invert(COLOUR) / 2).astype(int)
    assert np.abs(_read(tmp_path / "x.png") - expected).max() <= 1
    assert genx("translate", shaded, photos, "-o", "all", "--set", "shade=balanced").code == 0
    assert not _read(tmp_path / "all" / "clear.png")[:, :, :3].any(), "the first picture, class 0"
    expected = np.rint(_invert(COLOUR) / 4).astype(int)
    assert np.abs(_read(tmp_path / "all" / "colour.png") - expected).max() <= 1
    before = list_files(tmp_path)
    for text, message in (("shade=9", "no class '9'"), ("shad=1", "did you mean 'shade'?")):
        done = genx("translate", shaded, photos, "-o", "more", "--set", text)
        assert done.code == 2
        assert message in done.err
    assert list_files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken.png", "broken.png cannot be read as a picture"),
        ("deep.png", "deep.png has pixels of more than 8 bits a channel"),
        ("print.jpg", "print.jpg has colours of mode CMYK, expected grey or RGB"),
    ],
)
def test_one_bad_picture_and_nothing_is_written(
    genx: Run, bundle: Path, photos: Path, tmp_path: Path, name: str, message: str
) -> None:
    if name == "broken.png":
        (photos / name).write_bytes((photos / "colour.png").read_bytes()[:200])
    elif name == "deep.png":
        Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(photos / name)
    else:
        Image.fromarray(COLOUR).convert("CMYK").save(photos / name)
    done = genx("translate", bundle, photos, "-o", "out")
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == {"photos"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos/none.png", "-o", "x.png"), "there is no file photos/none.png"),
        (("photos/more", "-o", "x"), "photos/more holds no picture"),
        (("photos", "-o", "x.png"), "3 pictures do not fit into x.png; give a folder: -o x"),
        (("photos/colour.png", "-o", "-"), "- is the terminal, which is for text; name a file"),
        (("photos/colour.png", "-o", "x.jpg"), "results are PNG files; -o x.png, or a folder"),
        (("photos/colour.png", "-o", "photos/notes.txt"), "ends in '.txt'"),
        (
            ("photos", "photos/colour.png", "-o", "x"),
            "photos/colour.png and photos/colour.png would both become colour.png",
        ),
        (("photos/colour.png", "-o", "x.png", "--batch", 99), "batch is 99"),
    ],
)
def test_what_is_refused(
    genx: Run, bundle: Path, photos: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = genx("translate", bundle, *arguments)
    assert done.code == 2
    assert message in done.err
    assert list_files(tmp_path) == {"photos"}


def test_bundles_of_another_kind(genx: Run, tiny: Path, bundle: Path, photos: Path) -> None:
    done = genx("translate", tiny, photos / "colour.png", "-o", "x.png")
    assert done.code == 2
    assert "tiny makes samples, it does not translate pictures; draw from it" in done.err
    done = genx("sample", bundle, "-o", "x.png")
    assert done.code == 2
    assert "invert turns pictures into others, there is nothing to draw" in done.err
    assert f"genx translate {bundle} pictures/ -o translated/" in done.err


def test_the_other_commands(genx: Run, bundle: Path, tmp_path: Path) -> None:
    shown = genx("inspect", bundle)
    assert "RGB pictures of any size, in tiles of 8 x 8 that share 4 pixels" in shown.out
    assert "made 2 x as large" in shown.out
    assert "draws" not in shown.out
    assert genx("verify", bundle, "--picture", "compare.png").code == 0
    golden = open_bundle(bundle).golden()["translator/out/inverted"][0]
    expected = np.rint(golden.transpose(1, 2, 0) * 255)
    picture = _read(tmp_path / "compare.png")
    assert np.abs(picture[:16, :16].astype(int) - expected).max() <= 1
    options = ("--batch", "1", "--min-duration", "0.05", "--rounds", "1")
    assert genx("bench", bundle, *options).code == 0
