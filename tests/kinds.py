"""Bundles of every kind of output, made on the spot. Needs onnx."""

from __future__ import annotations

from pathlib import Path

from tests.make_tiny_bundle import ENCODER, make_bundle, make_graph, make_loop_bundle

from genx_runtimes.manifest import CategoricalPrior, NormalPrior, OutputSpec
from genx_runtimes.sampling_specs import PixelsSpec, StateSpec, TranslateSpec

UNIT, SIGNED = (0.0, 1.0), (-1.0, 1.0)

# The contract, the shape of one sample, and what is done to it at the end.
KINDS: dict[str, tuple[OutputSpec, tuple[int, ...], str]] = {
    "grey": (OutputSpec(name="x", kind="image", range=UNIT, layout="NHW"), (6, 5), "Sigmoid"),
    "deep": (
        OutputSpec(name="x", kind="image", range=UNIT, layout="NCHW", bits=16),
        (3, 4, 5),
        "Sigmoid",
    ),
    "alpha": (OutputSpec(name="x", kind="image", range=UNIT, layout="NCHW"), (2, 4, 5), "Sigmoid"),
    "audio": (
        # Its values go beyond the range.
        OutputSpec(name="x", kind="audio", range=(-0.5, 0.5), sample_rate=8000),
        (2, 40),
        "Tanh",
    ),
    "sequence": (OutputSpec(name="x", kind="sequence"), (5, 2), "Tanh"),
    "table": (
        OutputSpec(name="x", kind="table", columns=("age", "in,come", "score")),
        (3,),
        "Identity",
    ),
    "voxels": (OutputSpec(name="x", kind="voxels"), (1, 2, 3, 4), "Tanh"),
    "tensor": (OutputSpec(name="x", kind="tensor"), (2, 3, 2), "Tanh"),
}


def make_kind(name: str, folder: Path) -> Path:
    """Write the bundle of a name in `KINDS`: z (4,) -> x."""
    output, shape, last = KINDS[name]
    count = 1
    for size in shape:
        count *= size
    text = f"""g (float[batch,4] z) => (float[batch,{",".join(map(str, shape))}] x) {{
        flat = Gemm(z, w, b)
        bent = {last}(flat)
        shape = Constant<value_ints=[-1,{",".join(map(str, shape))}]>()
        x = Reshape(bent, shape)
    }}"""
    graph = make_graph(text, w=(4, count), b=(count,))
    priors = [NormalPrior(name="z", shape=(4,))]
    make_bundle(name, "generator", {"generator": graph}, priors, output, folder=folder)
    return folder / f"{name}.genx"


def make_vae(name: str, folder: Path, size: int = 4) -> Path:
    """Write a VAE of 8x8 pictures: z (size,), label of 3 -> image (1, 8, 8)."""
    decoder = make_graph(
        f"""g (float[batch,{size}] z, int64[batch] label) => (float[batch,1,8,8] image) {{
            row = Gather(embedding, label)
            both = Add(z, row)
            flat = Gemm(both, w, b)
            bent = Sigmoid(flat)
            shape = Constant<value_ints=[-1,1,8,8]>()
            image = Reshape(bent, shape)
        }}""",
        embedding=(3, size),
        w=(size, 64),
        b=(64,),
    )
    text = ENCODER.replace("batch,4", f"batch,{size}")
    encoder = make_graph(text, w=(64, size), v=(64, size), b=(size,))
    priors = [NormalPrior(name="z", shape=(size,)), CategoricalPrior(name="label", classes=3)]
    output = OutputSpec(name="image", kind="image", range=UNIT, layout="NCHW")
    graphs = {"decoder": decoder, "encoder": encoder}
    make_bundle(name, "vae", graphs, priors, output, folder=folder)
    return folder / f"{name}.genx"


PIXEL_ROW = """g (float[batch,1,2,3] above) => (float[batch,2,3] features) {
    seen = Conv<kernel_shape=[2,1]>(above, w)
    axis = Constant<value_ints=[2]>()
    flat = Squeeze(seen, axis)
    features = Tanh(flat)
}"""
PIXEL_STEP = """g (float[batch,1,1,1] pixel, float[batch,2] features, float[batch,2] h) => (
    float[batch,1,4] logits, float[batch,2] next_h
) {
    left = Flatten(pixel)
    all = Concat<axis=1>(left, features, h)
    driven = Gemm(all, a, bias)
    next_h = Tanh(driven)
    flat = MatMul(next_h, w)
    axis = Constant<value_ints=[1]>()
    logits = Unsqueeze(flat, axis)
}"""
ENLARGER = """g (float[batch,3,8,8] image) => (float[batch,3,16,16] larger) {
    mixed = Conv<pads=[1,1,1,1]>(image, w)
    wide = DepthToSpace<blocksize=2>(mixed)
    larger = Sigmoid(wide)
}"""


def make_pixels(folder: Path) -> Path:
    """Write pixels after pixels, row by row -> image (1, 4, 3) of 4 levels."""
    graphs = {
        "step": make_graph(PIXEL_STEP, a=(5, 2), bias=(2,), w=(2, 4)),
        "row": make_graph(PIXEL_ROW, w=(2, 1, 2, 1)),
    }
    sampler = PixelsSpec(
        component="step",
        row="row",
        states=(StateSpec(name="h", shape=(2,)),),
        shape=(1, 4, 3),
        window=2,
        levels=4,
    )
    output = OutputSpec(name="logits", kind="image", range=SIGNED, layout="NCHW")
    make_loop_bundle("pixels", graphs, [], output, sampler, folder)
    return folder / "pixels.genx"


def make_enlarger(folder: Path) -> Path:
    """Write a translator to pictures of twice the size."""
    graphs = {"net": make_graph(ENLARGER, w=(12, 3, 3, 3))}
    sampler = TranslateSpec(
        component="net", image="image", tile=(3, 8, 8), range=UNIT, overlap=2, scale=2
    )
    output = OutputSpec(name="larger", kind="image", range=UNIT, layout="NCHW")
    make_loop_bundle("enlarger", graphs, [], output, sampler, folder)
    return folder / "enlarger.genx"
