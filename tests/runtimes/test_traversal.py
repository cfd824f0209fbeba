from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from genx_runtimes import open_bundle
from genx_runtimes.errors import InputError, OutputError
from genx_runtimes.gif import encode_gif
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import NormalPrior
from genx_runtimes.session import Array
from genx_runtimes.traversal import Traversal, plan_traversal, traverse

DATA = Path(__file__).parents[1] / "data"


def test_one_value_moves_at_a_time() -> None:
    bundle = open_bundle(DATA / "tiny_vae.genx")
    plan = plan_traversal(bundle.manifest, dims=[3, 1], steps=3, low=-2)
    assert plan == Traversal(prior="z", shape=(4,), dims=(3, 1), values=(-2.0, 0.5, 3.0))
    base = LatentSource(bundle.manifest.priors, 5).draw([2])
    with bundle.sampler() as sampler:
        batches = list(traverse(sampler, base, plan, seed=5, index=2, batch=4))
    z = np.concatenate([batch.feeds["z"] for batch in batches])
    assert z[:, 3].tolist() == [-2.0, 0.5, 3.0, *base["z"][:, 3].repeat(3)]
    assert z[:, 1].tolist() == [*base["z"][:, 1].repeat(3), -2.0, 0.5, 3.0]
    assert np.array_equal(z[:, [0, 2]], base["z"][:, [0, 2]].repeat(6, axis=0))
    with bundle.session("decoder") as session:
        expected = session.run({"z": z})["image"]
    assert np.abs(np.concatenate([b.output for b in batches]) - expected).max() < 1e-6
    assert [batch.start for batch in batches] == [0, 4]


def test_codes_move_within_their_bounds_and_classes_stay(codes_bundle: Path) -> None:
    bundle = open_bundle(codes_bundle)
    plan = plan_traversal(bundle.manifest)
    assert (plan.prior, plan.dims, plan.values[0], plan.values[-1]) == ("style", (0, 1), -1, 1)
    base = LatentSource(bundle.manifest.priors, 0).draw([0])
    with bundle.sampler() as sampler:
        (batch,) = traverse(sampler, base, plan_traversal(bundle.manifest, dims=[1], steps=5))
    assert np.array_equal(batch.feeds["category"], base["category"].repeat(5, axis=0))
    assert batch.feeds["style"][:, 1].tolist() == [-1, -0.5, 0, 0.5, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "stlye"}, "unknown prior 'stlye'; did you mean 'style'?"),
        ({"prior": "category"}, "'category' is a class, a traversal needs continuous values"),
        ({"dims": [2]}, "'style' has no value 2; it has 0 to 1"),
        ({"dims": [-1]}, "'style' has no value -1"),
        ({"dims": []}, "dims is empty"),
        ({"high": 1.5}, "'style' would go from -1 to 1.5, expected -1 to 1"),
        ({"low": 1.0}, "low is 1 and high is 1, expected low < high"),
        ({"low": float("nan")}, "low is nan"),
        ({"steps": 1}, "steps is 1, expected 2 or more"),
    ],
)
def test_traversals_that_cannot_be(
    codes_bundle: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        plan_traversal(open_bundle(codes_bundle).manifest, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_more_rows_than_a_picture_has() -> None:
    manifest = open_bundle(DATA / "tiny_vae.genx").manifest
    wide = msgspec.structs.replace(manifest, priors=(NormalPrior(name="z", shape=(8, 32)),))
    with pytest.raises(InputError) as caught:
        plan_traversal(wide)
    assert str(caught.value) == (
        "256 values of 'z' would move, a row each, expected 128 or fewer; choose which: "
        "--dims 0,1,2,3,4,5,6,7"
    )
    with pytest.raises(InputError, match=r"129 values of 'z' would move"):
        plan_traversal(wide, dims=range(129))
    plan = plan_traversal(wide, dims=[*range(127), 255])
    assert len(plan.dims) == 128
    assert [plan.name(dim) for dim in (0, 33, 255)] == ["z[0,0]", "z[1,1]", "z[7,31]"]
    assert Traversal(prior="psi", shape=(), dims=(0,), values=(0.0, 1.0)).name(0) == "psi"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 4, 6, 2), np.uint8), "these frames have 2 channels of 8"),
        (np.zeros((2, 4, 6, 4), np.uint8), "these frames have 4 channels of 8"),
        (np.zeros((2, 4, 6, 1), np.uint16), "these frames have 1 channels of 16"),
    ],
)
def test_frames_that_a_gif_does_not_hold(frames: Array, message: str) -> None:
    pytest.importorskip("PIL.Image")
    with pytest.raises(OutputError, match=f"a GIF holds grey or RGB of 8 bits, {message}"):
        encode_gif(frames)  # type: ignore[arg-type]


def test_a_gif_holds_the_frames() -> None:
    image = pytest.importorskip("PIL.Image")
    frames = np.zeros((3, 4, 6, 1), np.uint8)
    frames[1, 1, 2], frames[2] = 255, 128
    import io

    with image.open(io.BytesIO(encode_gif(frames))) as read:
        assert (read.n_frames, read.size, read.info["loop"]) == (3, (6, 4), 0)
        read.seek(1)
        assert np.array_equal(np.asarray(read.convert("L")), frames[1, :, :, 0])
