"""`genx encode` and `reconstruct`, on the tiny VAE of 8x8 pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import DATA, PIXELS, Run, list_files
from tests.cli.test_next_steps import follow

from genx_runtimes import open_bundle
from genx_runtimes.encoding import reconstruct

VAE = DATA / "tiny_vae.genx"
VALUES = (PIXELS[:, None] / 255).astype(np.float32)


def test_latents_of_pictures_and_of_arrays_are_the_same(
    genx: Run, pictures: Path, tmp_path: Path
) -> None:
    done = genx("encode", VAE, "in/a.png", "in", "-o", "a.npz", "--sample", "--seed", 7)
    assert (done.code, done.err) == (0, "")
    first, following = done.out.splitlines()
    assert first == "wrote a.npz: mean, log_variance, z of 4 images, 4 values each, seed 7"
    assert genx(*following.removeprefix("next: genx ").split()).code == 0
    np.save(tmp_path / "x.npy", VALUES)
    np.savez(tmp_path / "x.npz", image=VALUES[:1], other=np.zeros(3))
    options = ("--sample", "--seed", 7, "--batch", 3)
    assert genx("encode", VAE, "x.npz", "x.npy", "-o", "b.npz", *options).code == 0
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert list(a) == ["mean", "log_variance", "z"]
        for name in a:
            assert a[name].shape == (4, 4)
            assert np.abs(a[name] - b[name]).max() < 1e-6
        with open_bundle(VAE).encoder() as encoder:
            images = np.concatenate([VALUES[:1], VALUES])
            (expected,) = encoder.encode(images, sample=True, seed=7)
        assert np.array_equal(a["z"], expected.z)
    assert genx("encode", VAE, "in", "-o", "c.npz").code == 0
    assert list(np.load(tmp_path / "c.npz")) == ["mean", "log_variance"]


def test_originals_stand_next_to_their_reconstructions(
    genx: Run, pictures: Path, tmp_path: Path
) -> None:
    done = genx("reconstruct", VAE, "in", "-o", "grid.png", "--columns", 3)
    assert (done.code, done.err) == (0, "")
    with open_bundle(VAE).encoder() as encoder, open_bundle(VAE).sampler() as sampler:
        ((_, batch),) = reconstruct(sampler, encoder.encode(VALUES))
    with Image.open(tmp_path / "grid.png") as image:
        grid = np.asarray(image)
    assert grid.shape == (8, 58)
    cells = [grid[:, left : left + 8] for left in range(0, 58, 10)]
    assert np.array_equal(cells[::2], PIXELS)
    assert np.array_equal(cells[1::2], batch.images()[:, :, :, 0])
    assert genx("reconstruct", VAE, "in", "-o", "out/").code == 0
    with Image.open(tmp_path / "out" / "000002.png") as image:
        assert np.array_equal(np.asarray(image), cells[5])
    done = genx("reconstruct", VAE, "in", "-o", "s.npy", "--sample", "--json")
    result = json.loads(done.out)
    drawn = np.load(tmp_path / "s.npy")
    assert np.abs(drawn - batch.output).max() > 0.01
    assert result["rmse"] == pytest.approx(float(np.sqrt(np.square(drawn - VALUES).mean())))
    assert result["inputs"] == ["in/a.png", "in/b.png", "in/c.png"]


def test_what_else_feeds_the_decoder_is_fixed(
    genx: Run, pictures: Path, tmp_path: Path, labelled: Path
) -> None:
    done = genx("reconstruct", labelled, "in", "-o", "r.npy", "--set", "label=2")
    assert done.code == 0
    with open_bundle(labelled).encoder() as encoder, open_bundle(labelled).sampler() as sampler:
        made = reconstruct(sampler, encoder.encode(VALUES), conditions={"label": 2})
        ((_, expected),) = made
        ((_, drawn),) = reconstruct(sampler, encoder.encode(VALUES))
    assert np.array_equal(np.load(tmp_path / "r.npy"), expected.output)
    assert np.abs(drawn.output - expected.output).max() > 0.01
    line = follow(genx, done)
    assert line.endswith("in/a.png --set label=2 -o traversal.png")


def test_a_picture_of_another_size_is_fitted_only_if_asked(
    genx: Run, pictures: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.full((20, 30), 200, np.uint8)).save(tmp_path / "wide.png")
    done = genx("encode", VAE, "wide.png", "-o", "w.npz")
    assert done.code == 2
    assert done.err == (
        "error: wide.png is 30x20 pixels, the model takes 8x8; --fit scales it to cover that size, "
        "and crops it at the centre\n"
    )
    assert list_files(tmp_path) == {"in", "wide.png"}
    done = genx("encode", VAE, "wide.png", "-o", "w.npz", "--fit")
    assert done.code == 0
    assert "warning: wide.png was scaled and cropped from 30x20 to 8x8 pixels" in done.err
    with open_bundle(VAE).encoder() as encoder:
        expected = next(encoder.encode(np.full((1, 1, 8, 8), 200 / 255, np.float32))).z
    assert np.abs(np.load(tmp_path / "w.npz")["mean"] - expected).max() < 1e-6
    assert follow(genx, done).endswith("wide.png --fit -o traversal.png")
    done = genx("reconstruct", VAE, "wide.png", "-o", "w.png", "--fit")
    assert " wide.png --fit -o traversal.png" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", VAE, "no.png", "-o", "x.npz"), "there is no file no.png"),
        (("encode", VAE, "bad.png", "-o", "x.npz"), "bad.png cannot be read as a picture"),
        (("encode", "in/a.png", "in/a.png", "-o", "x.npz"), "in/a.png is no bundle: it is neither"),
        (("encode", VAE, "two.npz", "-o", "x.npz"), "has mean, z, expected 'image'; give pictures"),
        (("encode", VAE, "clear.png", "-o", "x.npz"), "clear.png is transparent in places"),
        (("encode", VAE, "bad.npy", "-o", "x.npz"), "bad.npy cannot be read as an array"),
        (("encode", VAE, "flat.npy", "-o", "x.npz"), "flat.npy has shape (8, 8), expected (N, 1,"),
        (("encode", VAE, "in", "-o", "x.png"), "x.png ends in '.png'; write NAME.npz"),
        (("encode", VAE, "in", "-o", "x"), "x has no ending; write NAME.npz"),
        (("encode", VAE, "in", "-o", "kept.npz", "--set", "z=1"), "no such option: --set"),
        (("encode", VAE, "in", "-o", "kept.npz"), "kept.npz exists already; --force replaces it"),
        (("encode", VAE, "in", "-o", "x.npz", "--batch", 17), "batch is 17, this bundle takes"),
        (("encode", DATA / "tiny.genx", "in", "-o", "x.npz"), "tiny has no encoder, its family"),
        (("reconstruct", DATA / "tiny.genx", "in", "-o", "x.png"), "tiny has no encoder"),
        (("reconstruct", VAE, "in", "-o", "x.png", "--columns", 0), "--columns is 0, expected 1"),
        (("reconstruct", VAE, "in", "-o", "x.jpg"), "x.jpg ends in '.jpg'"),
        (("reconstruct", VAE, "in", "-o", "x.png", "--set", "z=1"), "'z' is the encoding"),
        (("reconstruct", VAE, "in", "-o", "x.png", "--set", "a=1"), "unknown condition 'a'"),
    ],
)
def test_wrong_arguments(
    genx: Run, pictures: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    (tmp_path / "bad.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "kept.npz").write_text("mine")
    np.save(tmp_path / "flat.npy", VALUES[0, 0])
    np.savez(tmp_path / "two.npz", mean=np.zeros(4), z=np.zeros(4))
    alpha = np.full((8, 8), 128, np.uint8)
    Image.fromarray(np.dstack([PIXELS[0], alpha])).save(tmp_path / "clear.png")
    before = list_files(tmp_path)
    done = genx(*arguments)
    assert done.code == (1 if "is no bundle" in message else 2)
    assert done.err.startswith("error: ")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == before
    assert (tmp_path / "kept.npz").read_text() == "mine"
