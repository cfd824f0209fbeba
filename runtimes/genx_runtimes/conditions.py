"""What the caller fixes instead of drawing it: a label, a code, one entry of a code.

A condition is a mapping from a name to a value:

    {"label": 3}              a class by index, or by label: {"label": "cat"}
    {"label": "balanced"}     sample i has class i modulo the number of classes
    {"style": [0.5, -1.0]}    all values of a prior
    {"style[0]": 0.5}         one entry; the others are drawn
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import CategoricalPrior, ConstantPrior, Prior, UniformPrior
from genx_runtimes.session import Array

BALANCED = "balanced"
_DIGITS = 20  # of a class's index; int() refuses more than 4300
ConditionValue = int | float | str | Sequence[float] | NDArray[np.generic]
Apply = Callable[[Array, Sequence[int]], Array]


def resolve_conditions(
    priors: Sequence[Prior], conditions: Mapping[str, ConditionValue]
) -> dict[str, list[Apply]]:
    """Turn conditions into functions that overwrite drawn values.

    Returns:
        for each prior that is conditioned, functions `(values, indices) -> values`.

    Raises:
        InputError: unknown prior, class or entry; a value of the wrong kind or out of range.
    """
    by_name = {prior.name: prior for prior in priors}
    resolved: dict[str, list[Apply]] = {}
    for key, value in conditions.items():
        match = re.fullmatch(r"(.+?)\[([\d,\s]+)\]", key)
        name = match[1] if match else key
        prior = by_name.get(name)
        if prior is None:
            raise InputError(f"unknown condition {name!r}", fix=suggest(name, by_name))
        if isinstance(prior, CategoricalPrior):
            if match:
                raise InputError(f"{name!r} is a class, not a vector: {key!r} has no meaning")
            apply = _fix_class(prior, value)
        elif match:
            apply = _fix_entry(prior, _read_entry(key, match[2]), value)
        else:
            apply = _fix_all(prior, value)
        resolved.setdefault(name, []).append(apply)
    return resolved


def _fix_class(prior: CategoricalPrior, value: ConditionValue) -> Apply:
    if isinstance(value, str) and value == BALANCED and BALANCED not in prior.labels:
        return lambda _, indices: np.array([i % prior.classes for i in indices], dtype=np.int64)
    chosen = _find_class(prior, value)
    return lambda values, _: np.full_like(values, chosen)


def _find_class(prior: CategoricalPrior, value: ConditionValue) -> int:
    """Return the index of a class given by label or by index; labels win."""
    known = [*(prior.labels or map(str, range(prior.classes)))]
    if isinstance(value, bool) or not isinstance(value, (int, str, np.integer)):
        raise InputError(f"{prior.name!r} is {value!r}, expected a class", fix=suggest("", known))
    text = str(value)
    if text in known:
        return known.index(text)
    if text.isdecimal() and len(text) < _DIGITS and int(text) < prior.classes:
        return int(text)
    near = suggest("" if text.isdecimal() else text, [*known, BALANCED])  # 11 is no slip for 1
    raise InputError(f"{prior.name!r} has no class {text!r}", fix=near)


def _fix_all(prior: Prior, value: ConditionValue) -> Apply:
    shape = () if isinstance(prior, CategoricalPrior) else prior.shape
    given = _to_floats(prior, value)
    if given.size != int(np.prod(shape)) or (given.ndim > 1 and given.shape != shape):
        raise InputError(
            f"{prior.name!r} was given values of shape {given.shape}, expected {shape}"
        )
    row = given.reshape(shape)
    return lambda values, _: np.broadcast_to(row, values.shape).copy()


def _read_entry(key: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(i) for i in text.split(","))
    except ValueError as err:
        raise InputError(f"condition {key!r} names no entry", fix="write it as NAME[0]") from err


def _fix_entry(prior: Prior, entry: tuple[int, ...], value: ConditionValue) -> Apply:
    shape = () if isinstance(prior, CategoricalPrior) else prior.shape
    if len(entry) != len(shape) or any(i >= n for i, n in zip(entry, shape, strict=True)):
        raise InputError(f"{prior.name!r} has shape {shape}, there is no entry {list(entry)}")
    given = _to_floats(prior, value)
    if given.size != 1:
        raise InputError(f"{prior.name}{list(entry)} was given {given.size} values, expected one")

    def apply(values: Array, _: Sequence[int]) -> Array:
        changed = values.copy()
        for row in changed:
            row[entry] = given.item()
        return changed

    return apply


def _to_floats(prior: Prior, value: ConditionValue) -> NDArray[np.float32]:
    """Return the value as finite float32 numbers within the prior's limits."""
    try:
        items = value.split(",") if isinstance(value, str) else value
        array = np.asarray(items, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as err:
        raise InputError(f"{prior.name!r} is {value!r}, expected numbers") from err
    if not np.isfinite(array).all():
        raise InputError(f"{prior.name!r} is {value!r}, expected finite numbers")
    if isinstance(prior, UniformPrior | ConstantPrior) and not (
        (array >= prior.low).all() and (array <= prior.high).all()
    ):
        raise InputError(f"{prior.name!r} is {value!r}, expected {prior.low} to {prior.high}")
    return array
