from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genx_runtimes.errors import InputError
from genx_runtimes.latents import LatentSource, check_indices
from genx_runtimes.manifest import CategoricalPrior, ConstantPrior, NormalPrior, UniformPrior

Z = NormalPrior(name="z", shape=(16,))
C = UniformPrior(name="c", shape=(2,), low=-1.0, high=1.0)
K = CategoricalPrior(name="k", classes=4, encoding="one_hot")


def test_priors_do_not_depend_on_one_another() -> None:
    every = LatentSource([Z, C, K], 5).draw(range(4))
    for prior in (Z, C, K):
        alone = LatentSource([prior], 5).draw(range(4))[prior.name]
        assert np.array_equal(alone, every[prior.name])
    conditioned = LatentSource([K, C, Z], 5, conditions={"k": 3}).draw(range(4))
    assert np.array_equal(conditioned["z"], every["z"])
    assert conditioned["k"].tolist() == [[0, 0, 0, 1]] * 4


def test_an_entry_that_is_set_leaves_the_others_as_drawn() -> None:
    drawn = LatentSource([C], 5).draw(range(4))["c"]
    fixed = LatentSource([C], 5, conditions={"c[0]": 0.5}).draw(range(4))["c"]
    assert (fixed[:, 0] == 0.5).all()
    assert np.array_equal(fixed[:, 1], drawn[:, 1])


def test_truncation_needs_a_normal_prior() -> None:
    with pytest.raises(InputError, match="truncation needs a normal prior, this bundle has none"):
        LatentSource([C, K], 0, truncation=1.0)
    assert np.abs(LatentSource([Z, C], 0, truncation=0.5).draw(range(4))["z"]).max() <= 0.5


def test_truncation_sets_the_knob_of_that_name_and_leaves_normals_alone() -> None:
    knob = ConstantPrior(name="truncation", value=1.0, low=0.0, high=1.0)
    plain = LatentSource([Z, knob], 0).draw(range(4))
    turned = LatentSource([Z, knob], 0, truncation=0.5).draw(range(4))
    assert np.array_equal(turned["z"], plain["z"])
    assert plain["truncation"].tolist() == [1.0] * 4
    assert turned["truncation"].tolist() == [0.5] * 4
    assert LatentSource([knob], 0, truncation=0.0).draw([7])["truncation"].tolist() == [0.0]
    with pytest.raises(InputError, match=r"'truncation' is 1.5, expected 0.0 to 1.0"):
        LatentSource([Z, knob], 0, truncation=1.5)
    with pytest.raises(InputError, match="truncation is given twice"):
        LatentSource([Z, knob], 0, truncation=0.5, conditions={"truncation": 0.5})
    other = ConstantPrior(name="psi", value=1.0, low=0.0, high=1.0)
    assert np.abs(LatentSource([Z, other], 0, truncation=0.5).draw(range(4))["z"]).max() <= 0.5


def test_a_walk_starts_and_ends_at_its_samples() -> None:
    source = LatentSource([Z, C, K], 1)
    walk = source.interpolate(3, 8, [0.0, 0.25, 1.0])
    ends = source.draw([3, 8])
    assert np.allclose(walk["z"][0], ends["z"][0], atol=1e-6)
    assert np.allclose(walk["z"][2], ends["z"][1], atol=1e-6)
    assert np.allclose(walk["c"][1], 0.75 * ends["c"][0] + 0.25 * ends["c"][1], atol=1e-6)
    assert np.array_equal(walk["k"], np.repeat(ends["k"][:1], 3, axis=0))
    assert walk["z"].dtype == walk["c"].dtype == walk["k"].dtype == np.float32


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1))
def test_on_the_way_norms_stay_typical(a: int, b: int, weight: float) -> None:
    source = LatentSource([Z], 0)
    middle = np.linalg.norm(source.interpolate(a, b, [weight])["z"])
    norms = np.linalg.norm(source.draw([a, b])["z"], axis=1)
    # The great circle keeps the norm between the ends; a straight line would fall to the middle.
    assert norms.min() * 0.95 <= middle <= norms.max() * 1.05


def test_the_way_from_a_sample_to_itself_or_its_opposite() -> None:
    same = LatentSource([Z], 0).interpolate(4, 4, [0.0, 0.5, 1.0])["z"]
    assert np.allclose(same[0], same[1])
    source = LatentSource([Z], 0, conditions={"z": [0.0] * 16})
    assert (source.interpolate(0, 1, [0.5])["z"] == 0).all()


def test_indices() -> None:
    check_indices(2**64 - 3, 3)
    for start, count, message in [
        (0, 0, "n is 0, expected 1 or more"),
        (0, -4, "n is -4"),
        (-1, 1, r"start is -1, expected 0 to 2\^64 - n"),
        (2**64 - 2, 3, "start is 18446744073709551614"),
    ]:
        with pytest.raises(InputError, match=message):
            check_indices(start, count)
