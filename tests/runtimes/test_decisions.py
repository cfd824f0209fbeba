"""Drawing one of many from logits, against the definition written down a second time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.samplers.decisions import Decision, settle_decision
from genx_runtimes.samplers.loop import SamplingOptions

ROWS = 400
# Of a share counted over 20,000 draws: five standard deviations.
SPREAD = 0.018


def define(
    logits: NDArray[np.float32], u: float, temperature: float, top_k: int | None, top_p: float
) -> int:
    """Return the choice as docs/bundle.md, "Drawing", defines it, one row, in plain Python."""
    values = [float(value) for value in logits]
    ranked = sorted(range(len(values)), key=lambda i: (-values[i], i))
    if temperature == 0:
        return ranked[0]
    odds = {i: np.exp((values[i] - max(values)) / temperature) for i in ranked[:top_k]}
    total, kept, reached = sum(odds.values()), [], 0.0
    for i, odd in odds.items():
        if top_p < 1 and reached >= top_p * total:
            break
        kept.append(i)
        reached += odd
    share, whole = 0.0, sum(odds[i] for i in kept)
    for i in sorted(kept):
        share += odds[i] / whole
        if share > u:
            return i
    return max(kept)


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 3, 50])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 1.0])
def test_it_draws_what_the_definition_says(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    random = np.random.default_rng(7)
    logits = random.normal(0, 2, (ROWS, 11)).astype(np.float32)
    uniforms = random.random(ROWS)
    uniforms[:2] = 0.0, 1 - 2.0**-53
    drawn = Decision(temperature=temperature, top_k=top_k, top_p=top_p).draw(logits, uniforms)
    rows = zip(logits, uniforms, strict=True)
    expected = [define(row, u, temperature, top_k, top_p or 1.0) for row, u in rows]
    assert drawn.dtype == np.int64
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_shares_are_those_of_the_softmax(temperature: float) -> None:
    logits = np.array([0.0, 1.0, -1.0, 2.0, 0.5])
    uniforms = np.random.default_rng(0).random(20_000)
    drawn = Decision(temperature=temperature).draw(np.tile(logits, (20_000, 1)), uniforms)
    counted = np.bincount(drawn, minlength=5) / 20_000
    odds = np.exp(logits / temperature)
    np.testing.assert_allclose(counted, odds / odds.sum(), atol=SPREAD)


def test_top_k_and_top_p_share_what_is_left_in_proportion() -> None:
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    logits = np.tile(np.log(shares), (20_000, 1))
    uniforms = np.random.default_rng(0).random(20_000)
    for decision, expected in (
        (Decision(top_k=2), [0, 4 / 7, 0, 3 / 7]),
        (Decision(top_p=0.75), [0, 4 / 9, 2 / 9, 3 / 9]),  # 0.4 + 0.3 do not reach it
        (Decision(top_p=0.65), [0, 4 / 7, 0, 3 / 7]),
        (Decision(top_p=1e-9), [0, 1, 0, 0]),
        # Of the two likeliest, whose shares are then 4/7 and 3/7, the first reaches 0.5 alone.
        (Decision(top_k=2, top_p=0.5), [0, 1, 0, 0]),
    ):
        counted = np.bincount(decision.draw(logits, uniforms), minlength=4) / 20_000
        np.testing.assert_allclose(counted, expected, atol=SPREAD)
        assert not counted[np.array(expected) == 0].any()


def test_ties_go_to_the_first() -> None:
    level = np.zeros((9, 4), np.float32)
    uniforms = np.arange(9) / 9
    assert not Decision(temperature=0).draw(level, uniforms).any()
    assert set(Decision(top_k=2).draw(level, uniforms)) == {0, 1}
    assert set(Decision(top_p=0.5).draw(level, uniforms)) == {0, 1}
    assert set(Decision().draw(level, uniforms)) == {0, 1, 2, 3}
    wide = np.zeros((9, 1000), np.float32)  # sorts that are not stable mix up long rows alone
    wide[:, ::7] = -1
    assert set(Decision(top_k=3).draw(wide, uniforms)) == {1, 2, 3}


def test_what_is_impossible_is_never_drawn() -> None:
    logits = np.array([[-np.inf, 0.0, -np.inf, 0.0, -np.inf]])
    for u in (0.0, 0.49, 0.5, 1 - 2.0**-53):
        assert Decision().draw(logits, np.array([u]))[0] in (1, 3)


def test_a_draw_of_the_last_bit_stays_within_the_vocabulary() -> None:
    last = float(1 - Fraction(1, 2**53))
    for size in range(1, 200):
        logits = np.random.default_rng(size).normal(0, 3, (1, size))
        assert Decision().draw(logits, np.array([last]))[0] < size
        assert Decision(top_k=3).draw(logits, np.array([last]))[0] in np.argsort(-logits[0])[:3]


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e30, 1e30, -1e30]], np.float32)
    drawn = Decision(temperature=0.1).draw(np.tile(logits, (3, 1)), np.array([0.1, 0.6, 0.99]))
    np.testing.assert_array_equal(drawn, [0, 1, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_refused(bad: float, temperature: float) -> None:
    logits = np.array([[0.0, 1.0], [bad, 0.0]])
    with pytest.raises(BackendError, match="logits hold NaN or infinity"):
        Decision(temperature=temperature).draw(logits, np.array([0.5, 0.5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SamplingOptions(temperature=-0.1), "temperature is -0.1, expected 0 or more"),
        (SamplingOptions(temperature=float("nan")), "temperature is nan"),
        (SamplingOptions(temperature=float("inf")), "temperature is inf"),
        (SamplingOptions(top_k=0), "top-k is 0, expected 1 or more"),
        (SamplingOptions(top_p=0.0), "top-p is 0.0, expected more than 0, up to 1"),
        (SamplingOptions(top_p=2.0), "top-p is 2.0, expected more than 0, up to 1"),
        (SamplingOptions(top_p=float("nan")), "top-p is nan"),
    ],
)
def test_options_out_of_range_are_refused(options: SamplingOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settle_decision(options, 1.0)


def test_options_come_before_what_the_bundle_says() -> None:
    assert settle_decision(SamplingOptions(), 0.7) == Decision(temperature=0.7)
    wanted = settle_decision(SamplingOptions(temperature=0.0, top_k=5, top_p=0.5), 0.7)
    assert wanted == Decision(temperature=0.0, top_k=5, top_p=0.5)
