"""`genx traverse`, on the tiny VAE of 8x8 pictures and on bundles of other outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import DATA, PIXELS, Run, list_files
from tests.cli.test_encoders import VAE, VALUES
from tests.cli.test_next_steps import follow
from tests.kinds import make_kind, make_vae

from genx_cli.sink import Progress, Sink
from genx_runtimes import open_bundle

BOTH = """
import torch
from torch import nn


class Both(nn.Module):
    def forward(self, z, c):
        return torch.cat([z, c], 1) * 2
"""


def test_a_traversal_as_grid_and_as_gif(genx: Run, pictures: Path, tmp_path: Path) -> None:
    options = ("--dims", "0,3", "--steps", 5)
    done = genx("traverse", VAE, "in/b.png", "-o", "t.png", *options)
    assert done.code == 0
    assert done.out.splitlines()[:2] == [
        "wrote t.png: 2 values of z, each in 5 steps from -3 to 3",
        "  around in/b.png",
    ]
    assert follow(genx, done).endswith("-n 64 --set 'z[0]=3' -o fixed.png")
    with open_bundle(VAE).encoder() as encoder, open_bundle(VAE).sampler() as sampler:
        mean = next(encoder.encode(VALUES[1:2])).z
        z = mean.repeat(10, axis=0)
        z[:5, 0] = z[5:, 3] = np.linspace(-3, 3, 5)
        pixels = np.rint(sampler.session.run({"z": z})["image"] * 255)[:, 0]
    with Image.open(tmp_path / "t.png") as image:
        assert image.size == (48, 18)
        grid = np.asarray(image)
    assert np.abs(grid[10:18, 40:48] - pixels[9]).max() <= 1
    assert genx("traverse", VAE, "in/b.png", "-o", "t.gif", *options).code == 0
    with Image.open(tmp_path / "t.gif") as image:
        assert (image.n_frames, image.size) == (8, (18, 8))  # there, and back without the ends
        image.seek(4)
        assert np.array_equal(np.asarray(image.convert("L"))[:, 10:], grid[10:18, 40:48])


def test_a_traversal_of_a_code_around_a_sample(genx: Run, tmp_path: Path) -> None:
    codes = DATA / "tiny_codes.genx"
    options = ("--set", "category=2", "--steps", 3, "--index", 4)
    done = genx("traverse", codes, "-o", "c.npy", "--dims", "1", *options)
    assert "  around sample 4 of seed 0" in done.out
    assert follow(genx, done).endswith("--set category=2 --set 'style[1]=1' -o fixed.npy")
    with open_bundle(codes).sampler() as sampler:
        for row, value in zip(np.load(tmp_path / "c.npy"), (-1, 0, 1), strict=True):
            conditions = {"category": 2, "style[1]": value}
            expected = next(sampler.sample(1, start=4, conditions=conditions)).output[0]
            assert np.abs(row - expected).max() < 1e-6


def test_a_latent_of_many_values(genx: Run, tmp_path: Path) -> None:
    make_vae("wide", tmp_path, size=200)
    done = genx("traverse", "wide.genx", "-o", "t.png")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: 200 values of 'z' would move, a row each, expected 128 or fewer; choose which: "
        "--dims 0,1,2,3,4,5,6,7\n"
    )
    assert genx("traverse", "wide.genx", "-o", "t.png", "--dims", "0,199").code == 0
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    line = follow(genx, genx("encode", "wide.genx", "a.png", "-o", "a.npz"))
    assert line.endswith("a.png --dims 0,1,2,3,4,5,6,7 -o traversal.png")


def test_the_progress_of_a_traversal(
    genx: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []

    class Shown:
        def advance(self, count: int) -> None:
            shown.append(count)

    @contextmanager
    def show(self: Sink, text: str, total: int | None = None) -> Iterator[Progress]:
        shown.extend([text, total])
        yield Shown()  # type: ignore[misc]

    monkeypatch.setattr(Sink, "progress", show)
    assert genx("traverse", VAE, "-o", "t.npy", "--steps", 5, "--batch", 8).code == 0
    assert shown == ["traversing z", 20, 8, 8, 4]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deep", "the images of this bundle have 16 bits a channel; write a grid: -o t.png"),
        ("alpha", "the images of this bundle have an alpha channel; write a grid: -o t.png"),
        ("audio", "the output of this bundle is audio, not an image; write an array: -o t.npy"),
        ("tensor", "the output of this bundle is a tensor, not an image; write an array"),
    ],
)
def test_what_a_gif_does_not_hold(genx: Run, tmp_path: Path, name: str, message: str) -> None:
    bundle = make_kind(name, tmp_path)
    done = genx("traverse", bundle, "-o", "t.gif", "--steps", 3)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert list_files(tmp_path) == {f"{name}.genx"}
    written = done.err.strip().rpartition("-o ")[2]
    assert genx("traverse", bundle, "-o", written, "--steps", 3).code == 0


def test_a_gif_of_images_without_a_channel_axis(genx: Run, tmp_path: Path) -> None:
    assert genx("traverse", make_kind("grey", tmp_path), "-o", "t.gif", "--steps", 3).code == 0
    with Image.open(tmp_path / "t.gif") as image:
        assert (image.n_frames, image.size) == (4, (2 * 5 + 2, 2 * 6 + 2))


def test_what_was_fixed_is_not_suggested_twice(genx: Run, labelled: Path, pictures: Path) -> None:
    options = ("--set", "label=1", "--dims", "2", "-o", "t.png")
    line = follow(genx, genx("traverse", labelled, "in/a.png", *options))
    assert line.endswith("--set label=1 --set 'z[2]=3' -o fixed.png")
    done = genx("traverse", VAE, "--set", "z[2]=0.5", "--dims", "2", "-o", "u.png")
    assert done.out.endswith("--set 'z[2]=3' -o fixed.png\n")


def test_what_moves_besides_is_named(genx: Run) -> None:
    two = DATA / "tiny_codes.genx"
    assert "moves as well" not in genx("traverse", two, "-o", "a.npy").out
    export = ("export", "models.py:Both", "--prior", "z=normal:8", "--prior", "c=uniform:2:-1..1")
    Path("models.py").write_text(BOTH)
    assert genx(*export, "-o", "both.genx").code == 0
    done = genx("traverse", "both.genx", "-o", "b.npy")
    assert "  --prior c moves as well\n" in done.out
    assert follow(genx, done).endswith("--set 'z[0]=3' -o fixed.npy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DATA / "tiny.genx", "in/a.png", "-o", "x.png"), "tiny has no encoder"),
        ((VAE, "in", "-o", "x.png"), "in has 3 images, a traversal starts from one"),
        ((VAE, "-o", "x.png", "--dims", "4"), "'z' has no value 4; it has 0 to 3"),
        ((VAE, "-o", "x.png", "--dims", "a"), "--dims 'a' is not I,I,..."),
        ((VAE, "-o", "x.png", "--prior", "label"), "unknown prior 'label'"),
        ((VAE, "in/a.png", "-o", "x.png", "--set", "z[0]=1"), "--set z has no meaning with INPUT"),
        ((VAE, "-o", "x.png", "--set", "y=1"), "unknown condition 'y'"),
        ((VAE, "-o", "x.png", "--index", -1), "start is -1"),
        ((VAE, "-o", "x.jpg"), "x.jpg ends in '.jpg'; write NAME.png (a grid), NAME.gif, NAME.npy"),
        ((DATA / "tiny_diffusion.genx", "-o", "x.png"), "the sampler of tiny_diffusion is 'diffus"),
        ((VAE, "-o", "in"), "in exists already; --force replaces it"),
        ((VAE, "-o", "kept.gif"), "kept.gif exists already; --force replaces it"),
    ],
)
def test_wrong_arguments(
    genx: Run, pictures: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    (tmp_path / "kept.gif").write_text("mine")
    done = genx("traverse", *arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == {"in", "kept.gif"}
    assert (tmp_path / "kept.gif").read_text() == "mine"
