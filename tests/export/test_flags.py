from __future__ import annotations

import pytest

from genx_export.flags import parse_batch, parse_output, parse_prior
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import (
    BatchBounds,
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    OutputSpec,
    Prior,
    UniformPrior,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("z=normal:100", NormalPrior(name="z", shape=(100,))),
        ("z=normal:100x1x1", NormalPrior(name="z", shape=(100, 1, 1))),
        ("c=uniform:2:-1..1", UniformPrior(name="c", shape=(2,), low=-1.0, high=1.0)),
        ("label=categorical:10", CategoricalPrior(name="label", classes=10)),
        ("k=categorical:cat,dog", CategoricalPrior(name="k", classes=2, labels=("cat", "dog"))),
        ("code=one_hot:10", CategoricalPrior(name="code", classes=10, encoding="one_hot")),
        ("psi=constant:1:0..1", ConstantPrior(name="psi", value=1.0, low=0.0, high=1.0)),
        ("psi=constant:-.5:-1..2", ConstantPrior(name="psi", value=-0.5, low=-1.0, high=2.0)),
    ],
)
def test_priors(text: str, expected: Prior) -> None:
    assert parse_prior(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("normal:100", "is not NAME=KIND:SHAPE; --prior z=normal:100"),
        ("z=", "is not NAME=KIND:SHAPE"),
        ("z=norml:100", "unknown prior kind 'norml'; did you mean 'normal'?"),
        ("z=normal", "is incomplete; write NAME=normal:SHAPE"),
        ("z=normal:0", "'0' is not a shape; write 100 or 100x1x1"),
        ("z=normal:-4", "'-4' is not a shape"),
        ("c=uniform:2", "is incomplete; write NAME=uniform:SHAPE:LOW..HIGH"),
        ("c=uniform:2:1..-1", "'1..-1' is not a range; write LOW..HIGH"),
        ("c=uniform:2:0..nan", "is not a range"),
        ("c=uniform:2:0..inf", "is not a range"),
        ("k=categorical:0", "needs one class or more"),
        ("k=categorical:a,a", "each named once"),
        ("k=categorical:", "is incomplete"),
        ("psi=constant:1", "is incomplete; write NAME=constant:VALUE:LOW..HIGH"),
        ("psi=constant:2:0..1", "'2' is no number from 0 to 1"),
        ("psi=constant:one:0..1", "'one' is no number from 0 to 1"),
        ("psi=constant:1:0", "'0' is not a range"),
    ],
)
def test_bad_priors(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_prior(text)
    assert message in str(caught.value)


def test_outputs() -> None:
    image = OutputSpec(name="image", kind="image", range=(-1.0, 1.0), layout="NCHW")
    assert parse_output("image:-1..1") == image
    assert parse_output("x=image:0..255").name == "x"
    assert parse_output("tensor") == OutputSpec(name="output", kind="tensor")
    deep = parse_output("image:0..1:NHW:16")
    assert (deep.layout, deep.bits) == ("NHW", 16)
    assert parse_output("image:0..1:16").layout == "NCHW"
    assert parse_output("a=audio:-1..1:16000") == OutputSpec(
        name="a", kind="audio", range=(-1.0, 1.0), sample_rate=16000
    )
    assert parse_output("table:age,income").columns == ("age", "income")
    assert parse_output("sequence").columns == ()
    assert parse_output("text") == OutputSpec(name="output", kind="text")
    assert parse_output("v=voxels") == OutputSpec(name="v", kind="voxels")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image", "lacks the value range; --output image:-1..1"),
        ("imag:-1..1", "unknown output kind 'imag'; did you mean 'image'?"),
        ("image:1", "'1' is not a range"),
        ("image:0..1:12", "is not image:LOW..HIGH[:NHW][:16]; --output image:0..1:16 for 16 bits"),
        ("image:0..1:8:16", "is not image:LOW..HIGH"),
        ("audio:-1..1", "is not audio:LOW..HIGH:HERTZ; --output audio:-1..1:16000"),
        ("audio:-1..1:0", "is not audio:LOW..HIGH:HERTZ"),
        ("audio:1..-1:16000", "'1..-1' is not a range"),
        ("table:a,a", "needs a name for each value, each once"),
        ("sequence:a,", "needs a name for each value"),
        ("tensor:0..1", "'0..1' has no meaning for tensor; --output tensor"),
    ],
)
def test_bad_outputs(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_output(text)
    assert message in str(caught.value)


def test_batch() -> None:
    assert parse_batch("1:64") == BatchBounds(min=1, max=64)
    assert parse_batch("4") == BatchBounds(min=4, max=4)
    for text in ("0:4", "4:1", "a", "1:", ""):
        with pytest.raises(InputError, match="--batch"):
            parse_batch(text)
