from __future__ import annotations

import numpy as np
import pytest

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import (
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    Prior,
    UniformPrior,
)
from genx_runtimes.priors import PriorSource, encode

NORMAL = NormalPrior(name="z", shape=(3, 2))
UNIFORM = UniformPrior(name="c", shape=(4,), low=-2.0, high=3.0)
LABEL = CategoricalPrior(name="k", classes=5)
ONE_HOT = CategoricalPrior(name="k", classes=5, encoding="one_hot")
PRIORS = [NORMAL, UNIFORM, LABEL]
# Means of 20,000 values lie within five standard errors of the expectation.
FIVE_SIGMA = 5 / np.sqrt(20_000)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p.kind)
def test_sample_i_depends_on_seed_and_index_alone(prior: Prior) -> None:
    source = PriorSource(prior, 9)
    whole = source.draw(range(12))
    assert np.array_equal(source.draw(range(5, 9)), whole[5:9])
    assert np.array_equal(source.draw([7, 2, 11]), whole[[7, 2, 11]])
    assert np.array_equal(PriorSource(prior, 9).draw([11])[0], whole[11])
    assert not np.array_equal(PriorSource(prior, 10).draw(range(12)), whole)


def test_shapes_and_dtypes() -> None:
    assert PriorSource(NORMAL, 0).draw(range(2)).shape == (2, 3, 2)
    assert PriorSource(NORMAL, 0).draw(range(2)).dtype == np.float32
    assert PriorSource(UNIFORM, 0).draw(range(2)).dtype == np.float32
    assert PriorSource(LABEL, 0).draw(range(2)).shape == (2,)
    assert PriorSource(LABEL, 0).draw(range(2)).dtype == np.int64


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_a_constant_is_the_same_for_all(shape: tuple[int, ...]) -> None:
    prior = ConstantPrior(name="psi", value=0.7, low=0.0, high=1.0, shape=shape)
    drawn = PriorSource(prior, 3, truncation=0.1).draw([0, 9, 4])
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn, np.full((3, *shape), 0.7, np.float32))


def test_one_number_a_sample() -> None:
    drawn = PriorSource(NormalPrior(name="z", shape=()), 0, truncation=0.2).draw(range(50))
    assert drawn.shape == (50,)
    assert 0 < np.abs(drawn).max() <= 0.2


def test_distributions() -> None:
    z = PriorSource(NormalPrior(name="z", shape=(100,)), 1).draw(range(200)).astype(np.float64)
    assert abs(z.mean()) < FIVE_SIGMA
    assert abs(z.var() - 1) < FIVE_SIGMA * np.sqrt(2)
    u = PriorSource(UniformPrior(name="u", shape=(100,), low=0, high=1), 1).draw(range(200))
    counts = np.histogram(u, bins=10, range=(0, 1))[0]
    assert counts.sum() == 20_000
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)
    k = PriorSource(LABEL, 1).draw(range(5000))
    assert np.abs(np.bincount(k, minlength=5) - 1000).max() < 5 * np.sqrt(1000)
    c = PriorSource(UNIFORM, 1).draw(range(1000))
    assert c.min() >= -2
    assert c.max() < 3
    assert c.max() - c.min() > 4.9


def test_samples_are_not_correlated() -> None:
    z = PriorSource(NormalPrior(name="z", shape=(1000,)), 0).draw(range(20)).astype(np.float64)
    correlation = np.corrcoef(z) - np.eye(20)
    assert np.abs(correlation).max() < 5 / np.sqrt(1000)


@pytest.mark.parametrize("limit", [0.05, 0.5, 2.0])
def test_truncation_draws_again_beyond_the_limit_and_keeps_the_rest(limit: float) -> None:
    plain = PriorSource(NORMAL, 3).draw(range(50))
    source = PriorSource(NORMAL, 3, truncation=limit)
    cut = source.draw(range(50))
    assert np.abs(cut).max() <= limit
    inside = np.abs(plain) <= limit
    assert np.array_equal(cut[inside], plain[inside])
    assert np.array_equal(source.draw([31])[0], cut[31])


@pytest.mark.parametrize("limit", [0.0, -1.0, 0.009, float("nan")])
def test_truncation_that_would_never_end(limit: float) -> None:
    with pytest.raises(InputError, match=r"truncation is .*, expected 0.01 or more"):
        PriorSource(NORMAL, 0, truncation=limit)


def test_encoding() -> None:
    classes = np.array([2, 0], np.int64)
    assert encode(ONE_HOT, classes).tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert encode(ONE_HOT, classes).dtype == np.float32
    assert encode(LABEL, classes) is classes


def test_one_of_many_classes_takes_the_memory_of_its_vector() -> None:
    many = CategoricalPrior(name="k", classes=2**20, encoding="one_hot")  # squared: 4 TiB
    assert encode(many, np.array([7, 2**20 - 1])).nonzero()[1].tolist() == [7, 2**20 - 1]
