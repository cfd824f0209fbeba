from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from msgspec import structs
from tests.runtimes.conftest import DATA

from genx_runtimes.backends.null import NullSession
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import BackendError, InputError, ManifestError
from genx_runtimes.sampler import Sampler, check_batch
from genx_runtimes.samplers import SAMPLERS, find_sampler
from genx_runtimes.sampling_specs import SamplerSpec
from genx_runtimes.session import Array

# Another batch size may take another code path in the engine; latents are equal bit for bit.
BATCH_TOLERANCE = 1e-6


def _draw(bundle: Path, n: int, **options: Any) -> tuple[dict[str, Array], Array]:
    with open_bundle(bundle).sampler() as sampler:
        batches = list(sampler.sample(n, **options))
    feeds = {k: np.concatenate([b.feeds[k] for b in batches]) for k in batches[0].feeds}
    return feeds, np.concatenate([b.output for b in batches])


@pytest.mark.parametrize("batch", [1, 3, 5, 16])
def test_any_batch_size_gives_the_same_samples(any_bundle: Path, batch: int) -> None:
    feeds, output = _draw(any_bundle, 16, seed=4, batch=16)
    other_feeds, other = _draw(any_bundle, 16, seed=4, batch=batch)
    for name, array in feeds.items():
        assert array.tobytes() == other_feeds[name].tobytes()
    assert np.abs(output - other).max() <= BATCH_TOLERANCE


def test_start_is_where_to_begin(any_bundle: Path) -> None:
    feeds, output = _draw(any_bundle, 8, seed=2)
    part_feeds, part = _draw(any_bundle, 3, seed=2, start=5)
    for name, array in feeds.items():
        assert np.array_equal(array[5:], part_feeds[name])
    assert np.abs(output[5:] - part).max() <= BATCH_TOLERANCE


def test_batches_know_their_place(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle).sampler() as sampler:
        batches = list(sampler.sample(10, start=100, batch=4, conditions={"label": "star"}))
    assert [(b.start, len(b.output)) for b in batches] == [(100, 4), (104, 4), (108, 2)]
    assert all((b.feeds["label"] == 2).all() for b in batches)
    assert batches[0].images().shape == (4, 8, 8, 1)


def test_samples_are_made_one_batch_at_a_time(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle).sampler(backend="null") as sampler:
        assert isinstance(sampler.session, NullSession)
        batches = sampler.sample(10, batch=2)
        assert sampler.session.runs == 0
        next(batches)
        assert sampler.session.runs == 1


def test_a_walk_ends_at_its_samples(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle).sampler() as sampler:
        walk = list(sampler.interpolate(2, 6, 7, seed=1, batch=3, conditions={"label": 1}))
        ends = next(sampler.sample(7, seed=1, conditions={"label": 1})).output
    output = np.concatenate([b.output for b in walk])
    assert len(output) == 7
    assert np.abs(output[0] - ends[2]).max() < 1e-5
    assert np.abs(output[-1] - ends[6]).max() < 1e-5
    assert np.abs(output[3] - ends[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0, expected 1 or more"),
        ({"n": 1, "seed": -1}, "seed is -1"),
        ({"n": 1, "start": -1}, "start is -1"),
        ({"n": 1, "batch": 0}, "batch is 0, this bundle takes 1 to 16; --batch 1, or export"),
        ({"n": 1, "batch": 17}, "batch is 17, this bundle takes 1 to 16; --batch 16, or export"),
        ({"n": 1, "conditions": {"x": 1}}, "unknown condition 'x'"),
        ({"n": 1, "truncation": 0.0}, "truncation is 0.0"),
    ],
)
def test_arguments_are_checked_before_the_first_batch(
    tiny_bundle: Path, options: dict[str, Any], message: str
) -> None:
    with (
        open_bundle(tiny_bundle).sampler() as sampler,
        pytest.raises(InputError, match=message),
    ):
        sampler.sample(**options)


def test_a_walk_needs_two_steps(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle).sampler() as sampler:
        with pytest.raises(InputError, match="n is 1, expected 2 or more"):
            sampler.interpolate(0, 1, 1)
        with pytest.raises(InputError, match="start is -1"):
            sampler.interpolate(-1, 1, 2)


@pytest.mark.parametrize(
    ("name", "kinds"), [("tiny_tokens", "none"), ("tiny", r"label \(categorical\)")]
)
def test_a_walk_needs_something_continuous(
    name: str, kinds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bundle(DATA / f"{name}.genx").sampler() as sampler:
        classes = tuple(p for p in sampler.manifest.priors if p.kind == "categorical")
        manifest = structs.replace(sampler.manifest, priors=classes)
        monkeypatch.setattr(sampler, "manifest", manifest)
        with pytest.raises(InputError, match=f"no way from one .*, this bundle's are: {kinds}; le"):
            sampler.interpolate(0, 5, 3)


def test_a_rest_below_the_smallest_batch_is_told_at_once(edit_manifest: Any) -> None:
    bundle = open_bundle(edit_manifest(lambda m: m["batch"].update(min=4)))
    with bundle.sampler() as sampler:
        assert [len(b.output) for b in sampler.sample(12, batch=8)] == [8, 4]
        with pytest.raises(InputError, match="n = 10 in batches of 8 leaves 2, below the bundle's"):
            sampler.sample(10, batch=8)
        with pytest.raises(InputError, match="batch is 2, this bundle takes 4 to 16; --batch 4"):
            check_batch(bundle.manifest.batch, 2)


def test_nan_is_never_given_out(tiny_bundle: Path) -> None:
    class Broken(NullSession):
        def run(self, feeds: Any) -> dict[str, Array]:
            return {"image": np.full((len(feeds["z"]), 1, 8, 8), np.nan, np.float32)}

    manifest = open_bundle(tiny_bundle).manifest
    sampler = Sampler(manifest, {"generator": Broken(manifest.components[0])})
    with pytest.raises(BackendError, match="samples from 0 on hold NaN or infinity"):
        next(sampler.sample(1))


def test_unknown_samplers(edit_manifest: Any) -> None:
    bundle = edit_manifest(lambda m: m["sampler"].update(kind="feedfoward"))
    with pytest.raises(ManifestError, match="unknown sampler 'feedfoward'; did you mean 'feedforw"):
        open_bundle(bundle)
    assert set(SAMPLERS) == {spec.kind for spec in get_args(SamplerSpec)}
    with pytest.raises(ManifestError, match="unknown sampler 'diffuson'; did you mean 'diffusion'"):
        find_sampler("diffuson")
