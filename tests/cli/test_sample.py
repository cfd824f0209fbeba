from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import DATA, Run, list_files

from genx_runtimes import open_bundle


def test_a_grid(genx: Run, tiny: Path, tmp_path: Path) -> None:
    done = genx("sample", tiny, "-n", 6, "--columns", 3, "-o", "grid.png")
    assert (done.code, done.err) == (0, "")
    first, following = done.out.splitlines()
    assert first == "wrote grid.png: 6 samples of seed 0 from tiny"
    assert following == f"next: genx sample {tiny} -n 64 --set label=balanced -o balanced.png"
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (28, 18)
        pixels = np.asarray(image)
    with open_bundle(tiny).sampler() as sampler:
        images = next(sampler.sample(6)).images()
    assert np.array_equal(pixels[10:18, 20:28], images[5, :, :, 0])
    again = genx(*following.removeprefix("next: genx ").split())
    assert again.code == 0


def test_a_folder_and_an_array_hold_the_same_samples(genx: Run, tiny: Path, tmp_path: Path) -> None:
    options = ("-n", 3, "--start", 5, "--seed", 9, "--set", "label=star")
    assert genx("sample", tiny, *options, "-o", "out/").code == 0
    assert genx("sample", tiny, *options, "-o", "out.npy", "--batch", 2).code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "000005.png",
        "000006.png",
        "000007.png",
    ]
    array = np.load(tmp_path / "out.npy")
    assert array.shape == (3, 1, 8, 8)
    assert array.dtype == np.float32
    with open_bundle(tiny).sampler() as sampler:
        batch = next(sampler.sample(8, seed=9, conditions={"label": 2}))
    assert np.abs(array - batch.output[5:]).max() < 1e-6
    with Image.open(tmp_path / "out" / "000007.png") as image:
        assert np.array_equal(np.asarray(image), batch.images()[7, :, :, 0])


def test_a_walk(genx: Run, tiny: Path, tmp_path: Path) -> None:
    done = genx("sample", tiny, "-n", 4, "--interpolate", "2:5", "-o", "walk.npy")
    assert done.code == 0
    assert "label stayed that of the first sample" in done.out
    walk = np.load(tmp_path / "walk.npy")
    with open_bundle(tiny).sampler() as sampler:
        ends = next(sampler.sample(6)).output
    assert np.abs(walk[0] - ends[2]).max() < 1e-5


def test_conditions_and_truncation(genx: Run, tmp_path: Path) -> None:
    codes = DATA / "tiny_codes.genx"
    options = ("--set", "category=balanced", "--set", "style[0]=0.5", "-n", 4, "-o", "c.npy")
    assert genx("sample", codes, *options).code == 0
    with open_bundle(codes).sampler() as sampler:
        conditions = {"category": "balanced", "style[0]": 0.5}
        expected = next(sampler.sample(4, conditions=conditions)).output
    assert np.array_equal(np.load(tmp_path / "c.npy"), expected)
    vae = DATA / "tiny_vae.genx"
    assert genx("sample", vae, "--truncation", 0.3, "-n", 4, "-o", "t.npy").code == 0
    with open_bundle(vae).sampler() as sampler:
        expected = next(sampler.sample(4, truncation=0.3)).output
    assert np.array_equal(np.load(tmp_path / "t.npy"), expected)


def test_json_and_quiet(genx: Run, tiny: Path) -> None:
    done = genx("sample", tiny, "-n", 2, "-o", "a.png", "--json")
    assert json.loads(done.out) == {
        "path": "a.png",
        "n": 2,
        "seed": 0,
        "start": 0,
        "files": ["a.png"],
        "engine": "onnxruntime, as asked for",
        "notes": [],
    }
    done = genx("sample", tiny, "-n", 2, "-o", "b.png", "-q")
    assert (done.out, done.err) == ("", "")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-n", 0), 2, "error: n is 0, expected 1 or more"),
        (("--seed", -1), 2, "error: seed is -1, expected 0 to 2^64 - 1"),
        (("--start", -1), 2, "error: start is -1"),
        (("--batch", 17), 2, "error: batch is 17, this bundle takes 1 to 16; --batch 16"),
        (("--batch", 0), 2, "error: batch is 0, this bundle takes 1 to 16; --batch 1,"),
        (("--set", "label=sqare"), 2, "'label' has no class 'sqare'; did you mean 'square'?"),
        (("--set", "lable=1"), 2, "error: unknown condition 'lable'; did you mean 'label'?"),
        (("--set", "label"), 2, "error: --set 'label' is not NAME=VALUE; --set label=3"),
        (("--set", "label=1", "--set", "label=2"), 2, "error: --set label is given twice"),
        (("--truncation", 0), 2, "error: truncation is 0.0, expected 0.01 or more"),
        (("--interpolate", "1-2"), 2, "error: --interpolate '1-2' is not A:B; --interpolate 0:5"),
        (("--interpolate", "1:2", "--start", 3), 2, "error: --start has no meaning with --interp"),
        (("--columns", 3, "-o", "x.npy"), 2, "error: --columns is for a grid; -o grid.png, or"),
        (("--columns", 0), 2, "error: --columns is 0, expected 1 or more"),
        (("--threads", 0), 2, "error: threads is 0, expected 1 or more"),
        (("--precision", "int8"), 2, "error: the bundle has no precision 'int8'; there is: fp32"),
        (
            ("--backend", "onnxruntim"),
            2,
            "unknown backend 'onnxruntim'; did you mean 'onnxruntime'",
        ),
        (
            ("-o", "x.jpg"),
            2,
            "error: x.jpg ends in '.jpg', the output of this bundle is an image; "
            "write NAME.png, NAME.npy or a folder",
        ),
        (("-o", "no/x.png"), 1, "error: cannot write no/x.png: there is no folder no; mkdir -p no"),
        (("-o", "kept.txt/x.png"), 1, "error: cannot write kept.txt/x.png: Not a directory"),
        (("-o", "kept.png"), 2, "error: kept.png exists already; --force replaces it"),
        (
            ("--no-such-option",),
            2,
            "error: no such option: --no-such-option; see genx sample --help",
        ),
    ],
)
def test_wrong_arguments(
    genx: Run, tiny: Path, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    for name in ("kept.txt", "kept.png"):
        (tmp_path / name).write_text("mine")
    done = genx("sample", tiny, "-o", "x.png", *options)
    assert done.code == code
    assert message in done.err
    assert done.out == ""
    if done.err.startswith("error"):
        assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == {"kept.txt", "kept.png"}
    assert (tmp_path / "kept.png").read_text() == "mine"


def test_errors_as_json(genx: Run, tiny: Path) -> None:
    done = genx("sample", tiny, "-n", 0, "-o", "x.png", "--json")
    assert done.code == 2
    assert json.loads(done.out) == {
        "error": {"type": "InputError", "message": "n is 0, expected 1 or more", "fix": ""}
    }


def test_tensors_are_no_pictures(genx: Run) -> None:
    done = genx("sample", DATA / "tiny_codes.genx", "-o", "x.png")
    assert done.code == 2
    assert done.err == (
        "error: x.png ends in '.png', the output of this bundle is a tensor; write NAME.npy or a "
        "folder\n"
    )


def test_force_replaces_and_only_what_is_named(genx: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert "exists already" in genx("sample", tiny, "-n", 2, "-o", "out").err
    assert genx("sample", tiny, "-n", 2, "-o", "out", "--force").code == 0
    assert list_files(tmp_path / "out") == {"mine.txt", "000000.png", "000001.png"}
    (tmp_path / "file").write_text("mine")
    done = genx("sample", tiny, "-n", 2, "-o", "file", "--force")
    assert done.err == "error: file is a file; choose another name\n"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["x.png", "x.npy", "out"])
def test_a_full_disk_leaves_nothing(
    genx: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.setattr(Path, "write_bytes", fail)
    done = genx("sample", tiny, "-n", 2, "-o", name)
    assert done.code == 1
    assert done.err.startswith(f"error: the disk is full: {name} was not written, ")
    assert done.err.endswith(
        "MB are free there; free some space, or choose another place with -o\n"
    )
    assert list_files(tmp_path) == set()
