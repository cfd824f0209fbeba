"""The Fréchet distance against its closed form for normal distributions."""

from __future__ import annotations

import numpy as np
import pytest
from samples.judging import Judge, frechet_distance


def test_equal_features_have_no_distance() -> None:
    features = np.random.default_rng(0).standard_normal((500, 6))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-9)


def test_normals_that_are_shifted_and_stretched() -> None:
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((4, 4))
    one = rng.standard_normal((200_000, 4))
    other = 1.5 * rng.standard_normal((200_000, 4)) + [1, 0, -2, 0]
    # |m1 - m2|^2 + d (s1 - s2)^2
    assert frechet_distance(one, other) == pytest.approx(5 + 4 * 0.25, rel=0.02)
    turned = np.linalg.qr(mix)[0]
    both = frechet_distance(one @ turned, other @ turned)
    assert both == pytest.approx(frechet_distance(one, other), rel=1e-6)
    # Equal variances, but what varied apart now varies together: covariances do not commute.
    tied = one @ np.array([[1, 1], [0, 0.1], [0, 0], [0, 0]])
    free = one[:, :2] * tied.std(axis=0)
    assert frechet_distance(tied, free) > 0.5


def test_features_tell_noise_from_digits() -> None:
    from samples.training.data import load_digits

    digits, held_out = load_digits().split()
    judge = Judge()
    real = judge.features(held_out.images[:500].numpy())
    assert real.shape == (500, 96)
    alike = frechet_distance(judge.features(digits.images[:500].numpy()), real)
    softened = 0.5 * digits.images[:500].numpy()
    assert alike < 0.5 < frechet_distance(judge.features(softened), real)
