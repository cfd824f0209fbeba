"""Bundles for the page that are not committed: codes and a knob, sound, pictures to pictures."""

from __future__ import annotations

from pathlib import Path

from tests.kinds import UNIT, make_kind
from tests.make_tiny_bundle import make_bundle, make_graph, make_loop_bundle

from genx_runtimes.manifest import (
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    OutputSpec,
    UniformPrior,
)
from genx_runtimes.sampling_specs import TranslateSpec

CODES = """g (float[batch,4] z, float[batch,2] code, float[batch] gain, int64[batch] label) => (
    float[batch,1,6,6] image
) {
    row = Gather(embedding, label)
    both = Concat<axis=1>(z, code)
    flat = Gemm(both, w, b)
    sum = Add(flat, row)
    shape = Constant<value_ints=[-1,1]>()
    factor = Reshape(gain, shape)
    louder = Mul(sum, factor)
    bent = Sigmoid(louder)
    square = Constant<value_ints=[-1,1,6,6]>()
    image = Reshape(bent, square)
}"""
INVERT = """g (float[batch,3,8,8] image) => (float[batch,3,8,8] inverted) {
    one = Constant<value_float=1.0>()
    inverted = Sub(one, image)
}"""


def make_codes(folder: Path) -> Path:
    """Write a generator with every kind of condition -> image (1, 6, 6)."""
    graph = make_graph(CODES, embedding=(3, 36), w=(6, 36), b=(36,))
    priors = [
        NormalPrior(name="z", shape=(4,)),
        UniformPrior(name="code", shape=(2,), low=-1.0, high=1.0),
        ConstantPrior(name="gain", value=4.0, low=0.0, high=8.0),
        CategoricalPrior(name="label", classes=3, labels=("ash", "oak", "yew")),
    ]
    output = OutputSpec(name="image", kind="image", range=UNIT, layout="NCHW")
    make_bundle("codes", "generator", {"generator": graph}, priors, output, folder)
    return folder / "codes.genx"


def make_invert(folder: Path) -> Path:
    """Write a translator that inverts pictures of any size."""
    output = OutputSpec(name="inverted", kind="image", range=UNIT, layout="NCHW")
    sampler = TranslateSpec(component="net", image="image", tile=(3, 8, 8), range=UNIT, overlap=2)
    make_loop_bundle("invert", {"net": make_graph(INVERT)}, [], output, sampler, folder)
    return folder / "invert.genx"


def make_all(folder: Path) -> list[Path]:
    """Write them all."""
    kinds = [make_kind(name, folder) for name in ("audio", "table", "voxels")]
    return [make_codes(folder), make_invert(folder), *kinds]
