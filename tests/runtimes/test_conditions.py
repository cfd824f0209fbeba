from __future__ import annotations

import numpy as np
import pytest

from genx_runtimes.conditions import ConditionValue, resolve_conditions
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import (
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    UniformPrior,
)
from genx_runtimes.session import Array

PRIORS = [
    NormalPrior(name="z", shape=(2, 3)),
    CategoricalPrior(name="label", classes=3, labels=("cat", "dog", "2 birds")),
    CategoricalPrior(name="digit", classes=10),
    UniformPrior(name="style", shape=(2,), low=-1.0, high=1.0),
    ConstantPrior(name="psi", value=1.0, low=0.0, high=1.0),
]


def _apply(name: str, values: Array, *conditions: tuple[str, ConditionValue]) -> list[object]:
    for apply in resolve_conditions(PRIORS, dict(conditions))[name]:
        values = apply(values, range(3, 3 + len(values)))
    return list(values.tolist())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("label", "dog", 1),
        ("label", 1, 1),
        ("label", "1", 1),
        ("label", "2 birds", 2),
        ("label", np.int64(2), 2),
        ("digit", "7", 7),
        ("digit", 7, 7),
    ],
)
def test_classes(name: str, value: ConditionValue, expected: int) -> None:
    assert _apply(name, np.zeros(2, np.int64), (name, value)) == [expected, expected]


def test_balanced_goes_by_the_index_of_the_sample() -> None:
    got = _apply("label", np.zeros(5, np.int64), ("label", "balanced"))
    assert got == [0, 1, 2, 0, 1]  # samples 3 to 7


def test_whole_vectors_and_single_entries() -> None:
    drawn = np.full((2, 2), 0.25, np.float32)
    assert _apply("style", drawn, ("style", [0.5, -1.0])) == [[0.5, -1.0]] * 2
    assert _apply("style", drawn, ("style", "0.5,-1")) == [[0.5, -1.0]] * 2
    assert _apply("style", drawn, ("style[1]", 0.5)) == [[0.25, 0.5]] * 2
    assert _apply("style", drawn, ("style[1]", "0.5"), ("style[0]", 1)) == [[1.0, 0.5]] * 2
    assert (drawn == 0.25).all()
    assert _apply("psi", np.ones(3, np.float32), ("psi", "0.5")) == [0.5] * 3
    z = np.zeros((1, 2, 3), np.float32)
    assert _apply("z", z, ("z[1,2]", 5)) == [[[0, 0, 0], [0, 0, 5]]]
    assert _apply("z", z, ("z", np.arange(6).reshape(2, 3))) == [[[0, 1, 2], [3, 4, 5]]]
    assert _apply("z", z, ("z", "0,1,2,3,4,5")) == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("lable", 1, "unknown condition 'lable'; did you mean 'label'?"),
        ("label", "dgo", "'label' has no class 'dgo'; did you mean 'dog'?"),
        ("label", 3, "'label' has no class '3'; there is: cat, dog, 2 birds, balanced"),
        ("label", -1, "'label' has no class '-1'"),
        ("label", 1.0, "'label' is 1.0, expected a class; there is: cat, dog, 2 birds"),
        ("label", True, "'label' is True, expected a class"),
        ("label[0]", 1, "'label' is a class, not a vector: 'label[0]' has no meaning"),
        ("digit", 10, "'digit' has no class '10'; there is: 0, 1, 2"),
        ("style", 0.5, "'style' was given values of shape (), expected (2,)"),
        ("style", [0, 0, 0], "'style' was given values of shape (3,), expected (2,)"),
        ("style", [0.0, 1.5], "'style' is [0.0, 1.5], expected -1.0 to 1.0"),
        ("style", "a,b", "'style' is 'a,b', expected numbers"),
        ("style[,]", 0.5, "condition 'style[,]' names no entry; write it as NAME[0]"),
        (f"style[{'1' * 5000}]", 0.5, "names no entry"),
        ("digit", "1" * 5000, "'digit' has no class"),
        ("style", [10**400, 0], "expected numbers"),
        ("style[2]", 0.5, "'style' has shape (2,), there is no entry [2]"),
        ("style[0,0]", 0.5, "there is no entry [0, 0]"),
        ("style[0]", [0.1, 0.2], "style[0] was given 2 values, expected one"),
        ("psi", 1.5, "'psi' is 1.5, expected 0.0 to 1.0"),
        ("psi", "-0.1", "'psi' is '-0.1', expected 0.0 to 1.0"),
        ("psi", [0.1, 0.2], "'psi' was given values of shape (2,), expected ()"),
        ("z", [np.nan] * 6, "expected finite numbers"),
        ("z", np.zeros((3, 2)), "'z' was given values of shape (3, 2), expected (2, 3)"),
    ],
)
def test_what_does_not_fit(key: str, value: ConditionValue, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_conditions(PRIORS, {key: value})
    assert message in str(caught.value)
