"""Every kind of output: what it is written as, and that no command stumbles over it."""

from __future__ import annotations

import csv
import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import DATA, Run, list_files
from tests.cli.test_next_steps import QUICK, follow
from tests.kinds import KINDS, make_kind

from genx_cli.comparison import amplify_difference
from genx_runtimes import open_bundle
from genx_runtimes.session import Array

TEXT = DATA / "tiny_tokens.genx"
LOOPS = {"text": TEXT, **{n: DATA / f"tiny_{n}.genx" for n in ("recurrent", "diffusion")}}
ALL = (*KINDS, *LOOPS)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundle of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    return {**LOOPS, **{name: make_kind(name, folder) for name in KINDS}}


def draw(bundle: Path, n: int, start: int = 0) -> Array:
    with open_bundle(bundle).sampler() as sampler:
        return next(sampler.sample(n, start=start)).output


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, (command,)) for name in ALL for command in ("verify", "inspect")),
        *((name, ("bench", *QUICK)) for name in ("grey", "audio", "text")),
    ],
)
def test_what_is_suggested_runs(
    genx: Run, bundles: dict[str, Path], name: str, command: tuple[str, ...]
) -> None:
    follow(genx, genx(command[0], bundles[name], *command[1:]))


@pytest.mark.parametrize(
    ("name", "made", "run"),
    [
        ("grey", "x: image, grey, the rows a sequence, values 0 to 1", "feedforward: generator, "),
        ("deep", "x: image, 16 bits a channel, values 0 to 1", "one pass"),
        ("audio", "x: audio, 8000 Hz, values -0.5 to 0.5", "one pass"),
        ("table", "x: table, columns age, in,come, score", "one pass"),
        ("voxels", "x: voxels\n", "one pass"),
        ("text", "text: text, vocabulary of 6", "tokens: step, looks back on 12 tokens"),
    ],
)
def test_inspect(genx: Run, bundles: dict[str, Path], name: str, made: str, run: str) -> None:
    done = genx("inspect", bundles[name])
    assert f"makes\n  {made}" in done.out
    assert run in done.out


@pytest.mark.parametrize("name", ["grey", "deep", "alpha"])
def test_pictures(genx: Run, bundles: dict[str, Path], tmp_path: Path, name: str) -> None:
    assert genx("sample", bundles[name], "-n", 5, "-o", "grid.png").code == 0
    assert genx("sample", bundles[name], "-n", 5, "-o", "each").code == 0
    values = draw(bundles[name], 5)
    values = values[:, None] if name == "grey" else values
    pixels = np.rint(values * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    height, width = pixels.shape[1:3]
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * width + 4, 2 * height + 2)
    with Image.open(tmp_path / "each" / "000004.png") as image:
        assert image.mode == {"grey": "L", "deep": "RGB", "alpha": "LA"}[name]
        read = np.asarray(image).reshape(pixels[4].shape)
    # Pillow reads the upper half of 16 bits.
    assert np.abs(read.astype(int) - pixels[4]).max() <= (1 if name == "deep" else 0)
    assert genx("verify", bundles[name], "--picture", "compared.png").code == 0
    with Image.open(tmp_path / "compared.png") as image:
        assert image.size == (8 * width + 14, height)


def test_sound(genx: Run, bundles: dict[str, Path], tmp_path: Path) -> None:
    done = genx("sample", bundles["audio"], "-n", 3, "-o", "all.wav", "--batch", 2)
    assert done.code == 0
    values = draw(bundles["audio"], 3)
    # At full scale, 1 / 32767, a value may lie beyond the range by less than half a step.
    outside = int((np.abs(values) > 0.5).sum())
    assert outside > 0
    assert f"warning: {outside} of 240 values lie outside -0.5..0.5 and were cut off" in done.err
    with wave.open(str(tmp_path / "all.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 2, 2)
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert len(frames) == 3 * 40 + 2 * 2000
    expected = np.clip(np.rint(values * 2 * 32767), -32767, 32767).transpose(0, 2, 1)
    np.testing.assert_array_equal(frames[2040:2080], expected[1])
    assert not frames[40:2040].any()
    assert genx("sample", bundles["audio"], "-n", 2, "-o", "each", "-q").code == 0
    with wave.open(str(tmp_path / "each" / "000001.wav")) as file:
        assert file.readframes(99) == expected[1].astype("<i2").tobytes()
    done = genx("sample", bundles["audio"], "-n", 2, "-o", "raw.npy")
    assert done.err == "", "nothing is cut off in an array"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("sequence", ["sample", "step", "value_0", "value_1"]),
        ("table", ["age", "in,come", "score"]),
    ],
)
def test_numbers(
    genx: Run, bundles: dict[str, Path], tmp_path: Path, name: str, header: list[str]
) -> None:
    options = (bundles[name], "-n", 5, "--start", 3)
    assert genx("sample", *options, "--batch", 2, "-o", "all.csv").code == 0
    assert genx("sample", *options, "-o", "all.npy").code == 0
    assert genx("sample", *options, "-o", "each").code == 0
    array = np.load(tmp_path / "all.npy")
    with (tmp_path / "all.csv").open(newline="") as file:
        first, *rows = csv.reader(file)
    assert first == header
    places = header.index("value_0") if name == "sequence" else 0
    read = np.array([row[places:] for row in rows], np.float32)
    np.testing.assert_allclose(read, array.reshape(-1, array.shape[-1]), rtol=0, atol=1e-6)
    if name == "sequence":
        assert [row[:2] for row in rows[4:7]] == [["3", "4"], ["4", "0"], ["4", "1"]]
    lines = (tmp_path / "each" / "000007.csv").read_text().splitlines()
    assert len(lines) == 1 + len(rows) // 5
    assert lines[0].split(",")[0] == header[0]
    assert lines[-1].startswith("7,4," if name == "sequence" else rows[-1][0])


@pytest.mark.parametrize("name", ["voxels", "tensor"])
def test_arrays(genx: Run, bundles: dict[str, Path], tmp_path: Path, name: str) -> None:
    assert genx("sample", bundles[name], "-n", 3, "-o", "all.npy").code == 0
    assert genx("sample", bundles[name], "-n", 3, "-o", "each").code == 0
    array = np.load(tmp_path / "all.npy")
    assert array.shape[1:] == KINDS[name][1]
    np.testing.assert_array_equal(np.load(tmp_path / "each" / "000002.npy"), array[2])


def test_text(genx: Run, tmp_path: Path) -> None:
    options = (TEXT, "-n", 3, "--prompt", "a the", "--seed", 2)
    with open_bundle(TEXT).sampler() as sampler:
        spec = sampler.manifest.output
    assert genx("sample", *options, "-o", "all.npy").code == 0
    tokens = np.load(tmp_path / "all.npy")
    assert (tokens.shape, tokens.dtype) == ((3, 12), np.int64)
    texts = []
    for row in tokens.tolist():
        end = row.index(0) if 0 in row else len(row)
        texts.append("".join(spec.vocabulary[token] for token in row[:end]))
    assert len({len(text) for text in texts}) > 1, "they stop at different places"
    together = "\n".join(f"===== sample {i} =====\n{text}\n" for i, text in enumerate(texts))
    assert genx("sample", *options, "-o", "all.txt").code == 0
    assert (tmp_path / "all.txt").read_text(encoding="utf-8") == together
    assert genx("sample", *options, "-o", "all.jsonl").code == 0
    lines = (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"index": i, "text": text} for i, text in enumerate(texts)
    ]
    assert genx("sample", *options, "-o", "each").code == 0
    assert (tmp_path / "each" / "000001.txt").read_text(encoding="utf-8") == texts[1]
    before = list_files(tmp_path)
    for quiet in ((), ("-q",)):
        done = genx("sample", *options, "-o", "-", *quiet)
        assert (done.code, done.out, done.err) == (0, together, "")
    one = genx("sample", TEXT, "-n", 1, "--prompt", "a the", "--seed", 2, "-o", "-")
    assert one.out == texts[0] + "\n"
    result = json.loads(genx("sample", *options, "-o", "-", "--json").out)
    assert (result["texts"], result["files"]) == (texts, [])
    assert list_files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("audio", "x.png", "x.png ends in '.png', the output of this bundle is audio; write "
         "NAME.wav, NAME.npy or a folder"),
        ("audio", "-", "-o - is for text, the output of this bundle is audio; write NAME.wav"),
        ("deep", "x.wav", "is an image; write NAME.png, NAME.npy or a folder"),
        ("table", "x.txt", "is a table; write NAME.csv, NAME.npy or a folder"),
        ("voxels", "x.png", "is voxels; write NAME.npy or a folder"),
        ("text", "x.png", "is text; write NAME.txt, NAME.jsonl, NAME.npy, a folder, or - for the "
         "terminal"),
    ],
)  # fmt: skip
def test_endings_that_do_not_fit(
    genx: Run, bundles: dict[str, Path], tmp_path: Path, name: str, path: str, message: str
) -> None:
    done = genx("sample", bundles[name], "-o", path)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == set()


@pytest.mark.parametrize(("name", "path"), [("audio", "x.wav"), ("table", "x.csv"), ("text", "x")])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk(
    genx: Run, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, path: str,
) -> None:  # fmt: skip
    real = Path.open

    def full(self: Path, mode: str = "r", **options: object) -> object:
        return real(Path("/dev/full"), "wb") if mode in ("xb", "wb") else real(self, mode)

    def write(self: Path, data: bytes) -> None:
        with real(Path("/dev/full"), "wb") as file:
            file.write(data)

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "write_bytes", write)
    done = genx("sample", bundles[name], "-o", path)
    assert done.code == 1
    assert done.err.startswith(f"error: the disk is full: {path} was not written, ")
    assert list_files(tmp_path) == set()


def test_golden_samples_that_take_several_passes(
    genx: Run, bundles: dict[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundles["grey"], tmp_path / "few.genx"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["batch"]["max"] = 3
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert genx("verify", copy, "--picture", "x.png").code == 0
    assert genx("verify", bundles["grey"], "--picture", "y.png").code == 0
    assert (tmp_path / "x.png").read_bytes() == (tmp_path / "y.png").read_bytes()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_differences_are_bright_and_opaque(kind: type[np.unsignedinteger]) -> None:
    top = np.iinfo(kind).max
    one = np.array([[10, top], [10, top], [0, top]], kind).reshape(1, 1, 3, 2)
    two = np.array([[13, top], [10, top - 2], [top, top]], kind).reshape(1, 1, 3, 2)
    expected = [[24, top], [16, top], [top, top]]
    for a, b in ((one, two), (two, one)):
        assert amplify_difference(a, b).reshape(3, 2).tolist() == expected


def test_pictures_of_what_is_none(genx: Run, bundles: dict[str, Path]) -> None:
    done = genx("verify", bundles["audio"], "--picture", "x.png")
    assert done.err == (
        "error: the output of this bundle is audio, not an image; leave out --picture\n"
    )
