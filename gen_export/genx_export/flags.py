"""The short notation for priors, outputs and batch bounds, as used on the command line.

z=normal:100            label=categorical:10          image:-1..1           1:64
z=normal:100x1x1        label=categorical:cat,dog     image:0..1:NHW:16
c=uniform:2:-1..1       code=one_hot:10               audio:-1..1:16000
truncation=constant:1:0..1                            table:age,income
                                                      tensor
"""

from __future__ import annotations

import re
from typing import get_args

from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import (
    BatchBounds,
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    OutputKind,
    OutputSpec,
    Prior,
    UniformPrior,
)

_PRIOR_KINDS = ("normal", "uniform", "categorical", "one_hot", "constant")
_OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)


def parse_prior(text: str) -> Prior:
    """Parse `NAME=KIND:...`.

    Raises:
        InputError: not of that form.
    """
    name, equals, rest = text.partition("=")
    kind, *fields = rest.split(":")
    if not (name.isidentifier() and equals and kind):
        raise InputError(f"--prior {text!r} is not NAME=KIND:SHAPE", fix="--prior z=normal:100")
    if kind not in _PRIOR_KINDS:
        raise InputError(f"unknown prior kind {kind!r}", fix=suggest(kind, _PRIOR_KINDS))
    if kind == "normal" and len(fields) == 1:
        return NormalPrior(name=name, shape=_parse_shape(fields[0], text))
    if kind == "uniform" and len(fields) == 2:
        low, high = _parse_range(fields[1], text)
        return UniformPrior(name=name, shape=_parse_shape(fields[0], text), low=low, high=high)
    if kind == "constant" and len(fields) == 2:
        low, high = _parse_range(fields[1], text)
        value = _parse_value(fields[0], low, high, text)
        return ConstantPrior(name=name, value=value, low=low, high=high)
    if kind in ("categorical", "one_hot") and len(fields) == 1 and fields[0]:
        labels = () if fields[0].isdecimal() else tuple(fields[0].split(","))
        classes = len(labels) or int(fields[0])
        if classes < 1 or len(set(labels)) != len(labels):
            raise InputError(f"--prior {text!r} needs one class or more, each named once")
        return CategoricalPrior(
            name=name,
            classes=classes,
            labels=labels,
            encoding="one_hot" if kind == "one_hot" else "index",
        )
    forms = {
        "normal": "NAME=normal:SHAPE, such as z=normal:100 or z=normal:100x1x1",
        "uniform": "NAME=uniform:SHAPE:LOW..HIGH, such as c=uniform:2:-1..1",
        "constant": "NAME=constant:VALUE:LOW..HIGH, such as truncation=constant:1:0..1",
    }
    form = forms.get(kind, f"NAME={kind}:CLASSES, such as label={kind}:10 or label={kind}:cat,dog")
    raise InputError(f"--prior {text!r} is incomplete", fix=f"write {form}")


def parse_output(text: str) -> OutputSpec:
    """Parse `[NAME=]KIND...`.

    The forms are `image:LOW..HIGH[:NHW][:16]`, `audio:LOW..HIGH:HERTZ`, `sequence[:COLUMN,...]`,
    `table[:COLUMN,...]`, `text`, whose vocabulary the model brings, `voxels` and `tensor`.

    Raises:
        InputError: not of that form.
    """
    head, *fields = text.split(":")
    name, _, word = head.rpartition("=")
    kind = _check_kind(word)
    if kind == "image":
        return _parse_image(name or kind, fields, text)
    if kind == "audio":
        return _parse_audio(name or kind, fields, text)
    if kind in ("sequence", "table") and len(fields) == 1:
        columns = tuple(fields[0].split(","))
        if not all(columns) or len(set(columns)) != len(columns):
            raise InputError(f"--output {text!r} needs a name for each value, each once")
        return OutputSpec(name=name or "output", kind=kind, columns=columns)
    if fields:
        raise InputError(
            f"--output {text!r}: {', '.join(map(repr, fields))} has no meaning for {word}",
            fix=f"--output {kind}",
        )
    return OutputSpec(name=name or "output", kind=kind)


def _parse_image(name: str, fields: list[str], text: str) -> OutputSpec:
    if not fields or not fields[0]:
        raise InputError(f"--output {text!r} lacks the value range", fix="--output image:-1..1")
    limits, *rest = fields
    known = ("NCHW", "NHW", "8", "16")
    wrong = [word for word in rest if word not in known]
    layouts = [word for word in rest if word in ("NCHW", "NHW")]
    depths = [word for word in rest if word in ("8", "16")]
    if wrong or len(layouts) > 1 or len(depths) > 1:
        raise InputError(
            f"--output {text!r} is not image:LOW..HIGH[:NHW][:16]",
            fix="--output image:0..1:16 for 16 bits a channel, image:0..1:NHW for (B, H, W)",
        )
    return OutputSpec(
        name=name,
        kind="image",
        range=_parse_range(limits, text),
        layout="NHW" if layouts == ["NHW"] else "NCHW",
        bits=16 if depths == ["16"] else 8,
    )


def _parse_audio(name: str, fields: list[str], text: str) -> OutputSpec:
    if len(fields) != 2 or not fields[1].isdecimal() or not int(fields[1]):
        raise InputError(
            f"--output {text!r} is not audio:LOW..HIGH:HERTZ", fix="--output audio:-1..1:16000"
        )
    return OutputSpec(
        name=name,
        kind="audio",
        range=_parse_range(fields[0], text),
        sample_rate=int(fields[1]),
    )


def _check_kind(text: str) -> OutputKind:
    for kind in _OUTPUT_KINDS:
        if kind == text:
            return kind
    raise InputError(f"unknown output kind {text!r}", fix=suggest(text, _OUTPUT_KINDS))


def parse_batch(text: str) -> BatchBounds:
    """Parse `MIN:MAX` or `N`.

    Raises:
        InputError: not of that form, or not 1 <= MIN <= MAX.
    """
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if not match:
        raise InputError(f"--batch {text!r} is not MIN:MAX", fix="--batch 1:64")
    low = int(match[1])
    high = int(match[2] or low)
    if not 1 <= low <= high:
        raise InputError(f"--batch {text!r} is not a range from 1", fix="--batch 1:64")
    return BatchBounds(min=low, max=high)


def _parse_shape(text: str, whole: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text):
        raise InputError(f"{whole!r}: {text!r} is not a shape", fix="write 100 or 100x1x1")
    return tuple(map(int, text.split("x")))


def _parse_value(text: str, low: float, high: float, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{whole!r}: {text!r} is no number from {low:g} to {high:g}")
    return value


def _parse_range(text: str, whole: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        limits = (float(low), float(high))
    except ValueError:
        limits = (0.0, 0.0)
    if not dots or not limits[0] < limits[1] or limits[1] - limits[0] == float("inf"):
        raise InputError(f"{whole!r}: {text!r} is not a range", fix="write LOW..HIGH, as in -1..1")
    return limits
