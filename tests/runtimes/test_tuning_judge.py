from __future__ import annotations

import random

import pytest

from genx_runtimes.tuning.judge import is_clearly_faster, pair, sign_test


def costs(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_the_sign_test() -> None:
    assert sign_test([2.0] * 5) == 1 / 32
    assert sign_test([2.0] * 7 + [0.5]) == 9 / 256
    assert sign_test([2.0, 0.5]) == 0.75


def test_rounds_that_both_have_are_compared() -> None:
    assert pair({0: 1.0, 2: 2.0}, {0: 2.0, 1: 9.0, 2: 3.0}) == [2.0, 1.5]


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        (costs(), costs(), False),
        (costs(1, 1), costs(2, 2), False),  # two rounds may be an accident
        (costs(1, 1, 1), costs(2, 2, 2), True),
        (costs(1, 1, 1.9), costs(2, 1.5, 2), False),  # three that overlap
        (costs(1, 1, 1, 1, 9), costs(2, 2, 2, 2, 10), True),  # both were disturbed in the last
        (costs(*[1] * 7, 9), costs(*[2] * 8), True),  # once disturbed in eight
        (costs(*[0.99] * 9), costs(*[1.0] * 9), False),  # faster each time, and not worth it
        (costs(*[1.0] * 9), costs(*[0.5] * 9), False),
    ],
)
def test_what_is_clear(mine: dict[int, float], other: dict[int, float], expected: bool) -> None:
    assert is_clearly_faster(mine, other) is expected


def test_an_engine_that_flips_between_two_speeds_seldom_beats_itself() -> None:
    draw = random.Random(0)
    flips = [[draw.choice((0.064, 0.095)) for _ in range(18)] for _ in range(500)]
    wrong = sum(is_clearly_faster(costs(*f[:9]), costs(*f[9:])) for f in flips)
    assert wrong <= 25


def test_one_that_is_faster_in_spite_of_flips_is_found() -> None:
    draw = random.Random(0)
    flips = [[draw.choice((0.064, 0.095)) for _ in range(18)] for _ in range(500)]
    found = sum(is_clearly_faster(costs(*(v / 1.6 for v in f[:9])), costs(*f[9:])) for f in flips)
    assert found >= 475


@pytest.mark.parametrize(
    ("time", "noise", "bound"), [(1.0, 0.1, 0.13), (1.02, 0.03, 0.03), (1.02, 0.1, 0.08)]
)
def test_all_looks_together_err_as_seldom_as_the_documentation_says(
    time: float, noise: float, bound: float
) -> None:
    """A rival that takes `time` x the default's is looked at after each round from the third on."""
    draw, runs = random.Random(1), 500

    def is_chosen() -> bool:
        default = [draw.lognormvariate(0, noise) for _ in range(9)]
        rival = [time * draw.lognormvariate(0, noise) for _ in range(9)]
        looks = range(3, 10)
        return any(is_clearly_faster(costs(*rival[:n]), costs(*default[:n])) for n in looks)

    assert sum(is_chosen() for _ in range(runs)) <= bound * runs
