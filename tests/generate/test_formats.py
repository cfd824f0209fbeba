"""What is in a shard, in every format, of every kind of output."""

from __future__ import annotations

import io
import json
import tarfile
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.generate.conftest import DATA, TINY, MakePlan, read_tree, run_here
from tests.kinds import KINDS, make_kind

from genx_runtimes import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.generate import ImageSettings, Plan, ShardMaker, generate
from genx_runtimes.generate.publishing import measure
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.sampler import Batch

FORMATS = ("webdataset", "parquet", "png", "npy")


def _sample(plan: Plan) -> Batch:
    """Return all samples of a plan, as one batch."""
    settings = plan.settings
    with open_bundle(plan.bundle).sampler() as sampler:
        batches = list(
            sampler.sample(
                settings.n,
                seed=settings.seed,
                start=settings.start,
                conditions=settings.conditions,
            )
        )
    return Batch(
        start=settings.start,
        feeds={n: np.concatenate([b.feeds[n] for b in batches]) for n in batches[0].feeds},
        output=np.concatenate([batch.output for batch in batches]),
        spec=batches[0].spec,
        stop=batches[0].stop,
    )


def _make(plan: Plan) -> Path:
    generate(plan, runner=run_here)
    return Path(plan.folder, "data")


def _read_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


@pytest.mark.parametrize("form", FORMATS)
def test_a_shard_made_alone_is_that_of_a_run(plan: MakePlan, form: str) -> None:
    whole, alone = plan(folder="whole", format=form), plan(folder="alone", format=form)
    made = {shard.index: shard for shard in generate(whole, runner=run_here).shards}
    alone.path(0).parent.mkdir(parents=True)
    with ShardMaker(alone) as maker:
        for index in (4, 6, 4):
            assert maker.make(index) == made[index]
            assert measure(alone.path(index)) == measure(whole.path(index))


def test_webdataset(plan: MakePlan) -> None:
    made = plan(conditions={"label": "balanced"}, start=5)
    images = _sample(made).images()
    files: dict[str, bytes] = {}
    for path in sorted(_make(made).iterdir()):
        files |= _read_tar(path)
    assert list(files)[:4] == [
        *(f"000000005.{suffix}" for suffix in ("png", "cls", "json")),
        "000000006.png",
    ]
    assert len(files) == 3 * 100
    for place, index in enumerate(range(5, 105)):
        key = f"{index:09d}"
        with Image.open(io.BytesIO(files[f"{key}.png"])) as image:
            assert np.array_equal(np.asarray(image), images[place, :, :, 0])
        record = {"index": index, "seed": 3, "label": index % 4}
        assert json.loads(files[f"{key}.json"]) == record
        assert files[f"{key}.cls"] == str(index % 4).encode()


def test_a_tar_file_tells_nothing_of_who_made_it(plan: MakePlan) -> None:
    path = sorted(_make(plan()).iterdir())[0]
    with tarfile.open(path) as archive:
        told = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive.getmembers()}
    assert told == {(0, 0, 0, "", "", 0o644)}


def test_parquet(plan: MakePlan) -> None:
    made = plan(format="parquet", shard_size=50)
    batch = _sample(made)
    paths = sorted(_make(made).iterdir())
    table = pa.concat_tables(pq.read_table(path) for path in paths)
    assert table.column_names == ["index", "seed", "label", "image"]
    assert table["index"].to_pylist() == list(range(100))
    assert table["seed"].to_pylist() == [3] * 100
    assert table["label"].to_pylist() == batch.feeds["label"].tolist()
    images = batch.images()
    for place, row in enumerate(table["image"].to_pylist()):
        assert row["path"] == f"{place:09d}.png"
        with Image.open(io.BytesIO(row["bytes"])) as image:
            assert np.array_equal(np.asarray(image), images[place, :, :, 0])


def test_row_groups_end_at_whole_batches(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genx_runtimes.generate.formats.parquet._ROWS", 20)
    made = plan(format="parquet", shard_size=50)
    path = sorted(_make(made).iterdir())[0]
    meta = pq.read_metadata(path)
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [32, 18]


def test_png(plan: MakePlan) -> None:
    made = plan(format="png")
    images = _sample(made).images()
    folder = _make(made) / "shard-00002"
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    names = [f"{index:09d}.png" for index in range(32, 48)]
    assert [json.loads(line)["file_name"] for line in lines] == names
    assert set(json.loads(lines[0])) == {"file_name", "index", "seed", "label"}
    for index, name in enumerate(names, 32):
        with Image.open(folder / name) as image:
            assert np.array_equal(np.asarray(image), images[index, :, :, 0])


def test_npy(plan: MakePlan) -> None:
    made = plan(DATA / "tiny_codes.genx", format="npy", seed=2**64 - 1)
    batch = _sample(made)
    folders = sorted(_make(made).iterdir())
    columns = {
        name: np.concatenate([np.load(f / f"{name}.npy", mmap_mode="r") for f in folders])
        for name in ("tensor", "index", "seed", "category", "style")
    }
    assert {p.stem for p in folders[0].iterdir()} == set(columns)
    assert np.array_equal(columns["tensor"], batch.output)
    assert np.array_equal(columns["style"], batch.feeds["style"])
    assert np.array_equal(columns["category"], batch.feeds["category"].argmax(axis=1))
    assert np.array_equal(columns["index"], np.arange(100))
    assert columns["seed"].dtype == np.uint64
    assert set(columns["seed"].tolist()) == {2**64 - 1}


@pytest.mark.parametrize("kind", KINDS)
def test_other_outputs(plan: MakePlan, tmp_path: Path, kind: str) -> None:
    bundle = make_kind(kind, tmp_path)
    spec = KINDS[kind][0]
    settings: dict[str, object] = {"n": 5, "shard_size": 3}
    for form in ("webdataset", "parquet", "npy"):
        made = plan(bundle, folder=form, format=form, **settings)
        batch = _sample(made)
        shard = sorted(_make(made).iterdir())[1]
        if form == "npy":
            assert np.array_equal(np.load(shard / f"{spec.kind}.npy"), batch.output[3:])
        elif form == "webdataset":
            files = _read_tar(shard)
            suffix = {"image": "png", "audio": "wav"}.get(spec.kind, "npy")
            _check_file(files[f"000000004.{suffix}"], batch)
            assert set(files) == {f"00000000{i}.{suffix}" for i in (3, 4)} | {
                f"00000000{i}.json" for i in (3, 4)
            }
        else:
            _check_row(pq.read_table(shard).to_pylist()[1], batch)


def _check_file(data: bytes, batch: Batch) -> None:
    """Compare the file of the fifth sample."""
    if batch.spec.kind == "image":
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == batch.images().shape[2:0:-1]
    elif batch.spec.kind == "audio":
        with wave.open(io.BytesIO(data)) as sound:
            assert sound.readframes(40) == batch.waves()[4].tobytes()
    else:
        assert np.array_equal(np.load(io.BytesIO(data)), batch.output[4])


def _check_row(row: dict[str, object], batch: Batch) -> None:
    """Compare the row of the fifth sample."""
    assert (row["index"], row["seed"]) == (4, 3)
    kind = batch.spec.kind
    if kind in ("image", "audio"):
        _check_file(row[kind]["bytes"], batch)  # type: ignore[index]
    elif kind == "table":
        assert [row[name] for name in batch.spec.columns] == batch.output[4].tolist()
    else:
        assert row[kind] == batch.output[4].tolist()


def test_texts(plan: MakePlan) -> None:
    bundle = DATA / "tiny_tokens.genx"
    texts = _sample(plan(bundle, n=20)).texts()
    shard = sorted(_make(plan(bundle, folder="w", n=20, shard_size=20)).iterdir())[0]
    files = _read_tar(shard)
    assert [files[f"{i:09d}.txt"].decode() for i in range(20)] == texts
    made = plan(bundle, folder="p", n=20, shard_size=20, format="parquet")
    assert pq.read_table(sorted(_make(made).iterdir())[0])["text"].to_pylist() == texts


def test_options_of_loops_are_settings(plan: MakePlan) -> None:
    from genx_runtimes.samplers.loop import SamplingOptions

    options = SamplingOptions(length=3)
    made = plan(DATA / "tiny_recurrent.genx", n=4, format="npy", options=options)
    assert made.settings.options == {"length": 3}
    folder = sorted(_make(made).iterdir())[0]
    with open_bundle(DATA / "tiny_recurrent.genx").sampler() as sampler:
        expected = next(sampler.sample(4, seed=3, options=options)).output
    assert np.array_equal(np.load(folder / "sequence.npy"), expected)


def test_classes_are_counted_out(plan: MakePlan) -> None:
    made = plan(format="npy", conditions={"label": "balanced"})
    labels = [np.load(folder / "label.npy") for folder in sorted(_make(made).iterdir())]
    assert np.bincount(np.concatenate(labels)).tolist() == [25] * 4


@pytest.mark.parametrize(
    ("encoding", "kind", "channels"),
    [("jpeg", "JPEG", 1), ("jpeg", "JPEG", 3), ("webp", "WEBP", 3)],
)
def test_lossy_pictures(
    plan: MakePlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
    kind: str,
    channels: int,
) -> None:
    spec = OutputSpec(name="x", kind="image", range=(0.0, 1.0), layout="NCHW")
    monkeypatch.setitem(KINDS, "picture", (spec, (channels, 16, 16), "Sigmoid"))
    bundle = make_kind("picture", tmp_path)
    sizes = []
    for quality in (20, 95):
        image = ImageSettings(encoding=encoding, quality=quality)  # type: ignore[arg-type]
        made = plan(bundle, folder=f"q{quality}", n=2, image=image)
        files = _read_tar(sorted(_make(made).iterdir())[0])
        data = files["000000001.jpg" if encoding == "jpeg" else "000000001.webp"]
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.size) == (kind, (16, 16))
        sizes.append(len(data))
    assert sizes[0] < sizes[1]


def test_compression(plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = OutputSpec(name="x", kind="image", range=(0.0, 1.0), layout="NCHW")
    monkeypatch.setitem(KINDS, "bits", (spec, (1, 16, 16), "Sign"))
    bundle = make_kind("bits", tmp_path)
    sizes = []
    for level in (0, 9):
        image = ImageSettings(compression=level)
        made = plan(bundle, folder=f"c{level}", image=image, format="png", n=3)
        sizes.append(sum(s.bytes for s in generate(made, runner=run_here).shards))
        name = "data/shard-00000/000000000.png"
        with Image.open(Path(made.folder, name)) as image:
            assert np.array_equal(np.asarray(image), _sample(made).images()[0, :, :, 0])
    assert sizes[1] < sizes[0]


def test_what_a_lossy_file_cannot_hold_is_refused(plan: MakePlan, tmp_path: Path) -> None:
    for kind in ("deep", "alpha"):
        bundle = make_kind(kind, tmp_path)
        made = plan(bundle, folder=kind, n=2, image=ImageSettings(encoding="jpeg"))
        with pytest.raises(InputError, match="jpeg holds 8 bits of L or RGB, these images have"):
            generate(made, runner=run_here)
    made = plan(TINY, folder="grey", image=ImageSettings(encoding="webp"))
    with pytest.raises(InputError, match="webp holds 8 bits of RGB or RGBA, these images have 1"):
        generate(made, runner=run_here)


def test_the_contact_sheet_shows_the_first(plan: MakePlan) -> None:
    from genx_runtimes.images import make_grid

    made = plan(shard_size=70)
    _make(made)
    with Image.open(Path(made.folder, "contact-sheet.png")) as sheet:
        assert np.array_equal(np.asarray(sheet), make_grid(_sample(made).images()[:64])[:, :, 0])
    few = plan(folder="few", n=3)
    _make(few)
    with Image.open(Path(few.folder, "contact-sheet.png")) as sheet:
        assert np.array_equal(np.asarray(sheet), make_grid(_sample(few).images())[:, :, 0])


def test_names_that_are_taken(plan: MakePlan, tmp_path: Path) -> None:
    from tests.make_tiny_bundle import IMAGE, make_bundle, make_graph

    from genx_runtimes.manifest import UniformPrior

    graph = make_graph(
        """g (float[batch,2] index, float[batch,2] seed) => (float[batch,1,1,2] image) {
            sum = Add(index, seed)
            shape = Constant<value_ints=[-1,1,1,2]>()
            image = Reshape(sum, shape)
        }"""
    )
    priors = [UniformPrior(name=n, shape=(2,), low=-0.5, high=0.5) for n in ("index", "seed")]
    make_bundle("taken", "generator", {"generator": graph}, priors, IMAGE, folder=tmp_path)
    made = plan(tmp_path / "taken.genx", n=2, format="parquet")
    row = pq.read_table(sorted(_make(made).iterdir())[0]).to_pylist()[1]
    assert row["index"] == 1
    assert row["seed"] == 3
    fed = _sample(made).feeds
    assert row["index_condition"] == fed["index"][1].tolist()
    assert row["seed_condition"] == fed["seed"][1].tolist()


def test_the_whole_folder_is_the_same_each_time(plan: MakePlan) -> None:
    trees = []
    for folder in ("a", "b"):
        made = plan(folder=folder, format="parquet")
        _make(made)
        trees.append(read_tree(made.folder))
    assert trees[0] == trees[1]
