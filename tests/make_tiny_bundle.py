"""Makes the committed bundles in tests/data: `python tests/make_tiny_bundle.py`.

The runtime's tests run where neither torch nor onnx is installed, so their bundles are made
elsewhere, as they would be for a device. Needs onnx.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime

from genx_export.bundle_contents import collect_loop
from genx_export.bundle_writer import pack_arrays, refer, write_bundle
from genx_export.loop_feeding import run_loop
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import (
    BatchBounds,
    CategoricalPrior,
    ComponentSpec,
    GoldenSpec,
    Manifest,
    NormalPrior,
    OutputSpec,
    Prior,
    TensorSpec,
    UniformPrior,
    VariantSpec,
)
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.sampling_specs import (
    DiffusionSpec,
    FeedforwardSpec,
    Guidance,
    RecurrentSpec,
    SamplerSpec,
    Schedule,
    StateSpec,
    TokensSpec,
)
from genx_runtimes.session import Array

DATA = Path(__file__).parent / "data"
HEADER = '<ir_version: 10, opset_import: ["" : 20]>'
COUNT = 8
IMAGE = OutputSpec(name="image", kind="image", range=(-1.0, 1.0), layout="NCHW")

GENERATOR = """g (float[batch,8] z, int64[batch] label) => (float[batch,1,8,8] image) {
    row = Gather(embedding, label)
    code = Concat<axis=1>(z, row)
    flat = Gemm(code, w, b)
    bent = Tanh(flat)
    shape = Constant<value_ints=[-1,1,8,8]>()
    image = Reshape(bent, shape)
}"""
DECODER = """g (float[batch,4] z) => (float[batch,1,8,8] image) {
    flat = Gemm(z, w, b)
    bent = Sigmoid(flat)
    shape = Constant<value_ints=[-1,1,8,8]>()
    image = Reshape(bent, shape)
}"""
ENCODER = """g (float[batch,1,8,8] image) => (float[batch,4] mean, float[batch,4] log_variance) {
    flat = Flatten(image)
    mean = Gemm(flat, w, b)
    log_variance = Gemm(flat, v, b)
}"""
CODES = """g (float[batch,3] category, float[batch,2] style) => (float[batch,5] output) {
    code = Concat<axis=1>(category, style)
    output = Gemm(code, w, b)
}"""
RECURRENT = """g (float[batch,3] noise, float[batch,4] h) => (
    float[batch,5] rows, float[batch,4] next_h
) {
    driven = Gemm(noise, a, bias)
    kept = MatMul(h, b)
    sum = Add(driven, kept)
    next_h = Tanh(sum)
    flat = MatMul(next_h, c)
    rows = Tanh(flat)
}"""
TOKENS = """g (int64[batch] token, int64[batch] position, float[batch,12,4] cache) => (
    float[batch,6] logits, float[batch,1,4] next_cache
) {
    word = Gather(words, token)
    place = Gather(places, position)
    both = Add(word, place)
    bent = Tanh(both)
    axis = Constant<value_ints=[1]>()
    next_cache = Unsqueeze(bent, axis)
    past = ReduceSum<keepdims=0>(cache, axis)
    context = Add(past, bent)
    logits = Gemm(context, w, bias)
}"""
DENOISER = """g (float[batch,1,4,4] x, float[batch] time, int64[batch] label) => (
    float[batch,1,4,4] prediction
) {
    shape = Constant<value_ints=[-1,1,1,1]>()
    times = Reshape(time, shape)
    row = Gather(embedding, label)
    shift = Reshape(row, shape)
    hundredth = Constant<value_float=0.01>()
    small = Mul(times, hundredth)
    scaled = Mul(small, rate)
    mixed = Conv<pads=[1,1,1,1]>(x, w)
    raised = Add(mixed, shift)
    moved = Add(raised, scaled)
    prediction = Tanh(moved)
}"""


def make_graph(text: str, **shapes: tuple[int, ...]) -> bytes:
    """Return a graph with small random weights of the given shapes."""
    model = onnx.parser.parse_model(HEADER + text)
    rng = np.random.default_rng(7)
    for name, shape in shapes.items():
        weights = rng.standard_normal(shape, np.float32) / 4
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def run(model: bytes, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return a graph's outputs from onnxruntime without optimisations."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def make_bundle(
    name: str,
    family: str,
    graphs: Mapping[str, bytes],
    priors: Sequence[Prior],
    output: OutputSpec,
    folder: Path = DATA,
) -> None:
    """Write one bundle; the first graph is sampled and the others are fed by its outputs."""
    available: dict[str, Array] = LatentSource(priors, 0).draw(range(COUNT))
    golden: dict[str, Array] = {}
    components = []
    for component, model in graphs.items():
        inputs = [value.name for value in onnx.load_from_string(model).graph.input]
        outputs = run(model, {n: available[n] for n in inputs})
        role = "data" if components else "prior"
        components.append(
            ComponentSpec(
                name=component,
                inputs=tuple(_describe(n, available[n], role) for n in inputs),
                outputs=tuple(_describe(n, a, "output") for n, a in outputs.items()),
            )
        )
        golden |= {f"{component}/in/{n}": available[n] for n in inputs}
        golden |= {f"{component}/out/{n}": array for n, array in outputs.items()}
        available |= outputs
    sampler = FeedforwardSpec(component=components[0].name)
    write(name, family, graphs, components, golden, priors, output, sampler, folder)


def make_loop_bundle(
    name: str,
    graphs: Mapping[str, bytes],
    priors: Sequence[Prior],
    output: OutputSpec,
    sampler: SamplerSpec,
    folder: Path = DATA,
) -> None:
    """Write one bundle with a sampling loop, whose golden samples the loop itself makes."""
    drawn = LatentSource(priors, 0).draw(range(COUNT))
    draw = Draw(seed=0, indices=range(COUNT), feeds=drawn)
    calls = {n: partial(run, model) for n, model in graphs.items()}
    takes = {
        n: [value.name for value in onnx.load_from_string(model).graph.input]
        for n, model in graphs.items()
    }
    loop = run_loop(sampler, tuple(priors), output, calls, takes, draw, size=COUNT, max_batch=16)
    golden = collect_loop(loop, draw, output)
    components = []
    for component, feeds in loop.feeds.items():
        outputs = loop.outputs[component]
        components.append(
            ComponentSpec(
                name=component,
                inputs=tuple(
                    _describe(n, a, "prior" if n in drawn else "loop") for n, a in feeds.items()
                ),
                outputs=tuple(_describe(n, a, "output") for n, a in outputs.items()),
            )
        )
        golden |= {f"{component}/in/{n}": array for n, array in feeds.items()}
        golden |= {f"{component}/out/{n}": array for n, array in outputs.items()}
    write(name, sampler.kind, graphs, components, golden, priors, output, sampler, folder)


def write(
    name: str,
    family: str,
    graphs: Mapping[str, bytes],
    components: Sequence[ComponentSpec],
    golden: Mapping[str, Array],
    priors: Sequence[Prior],
    output: OutputSpec,
    sampler: SamplerSpec,
    folder: Path = DATA,
) -> None:
    """Write a bundle's files."""
    loops = not isinstance(sampler, FeedforwardSpec)
    files = {f"graphs/fp32/{n}.onnx": data for n, data in graphs.items()}
    files["golden.npz"] = pack_arrays(golden)
    manifest = Manifest(
        format="genx-bundle",
        format_version=1,
        name=name,
        description="For tests",
        family=family,
        components=tuple(components),
        batch=BatchBounds(min=1, max=16),
        priors=tuple(priors),
        output=output,
        sampler=sampler,
        variants=(
            VariantSpec(
                name="fp32",
                precision="fp32",
                graphs={n: refer(f"graphs/fp32/{n}.onnx", data) for n, data in graphs.items()},
                tolerance=1e-5,
                quality={"max_error": 0.0},
                loop_tolerance=1e-3 if loops else None,
            ),
        ),
        golden=GoldenSpec(
            file=refer("golden.npz", files["golden.npz"]),
            seed=0,
            count=COUNT,
            reference="onnxruntime without optimisations, by tests/make_tiny_bundle.py",
        ),
        made_by={"genx": "tests"},
    )
    path = folder / f"{name}.genx"
    shutil.rmtree(path, ignore_errors=True)
    write_bundle(path, manifest, files)


def _describe(name: str, array: Array, role: str) -> TensorSpec:
    shape = ("batch", *array.shape[1:])
    return TensorSpec(name=name, dtype=array.dtype.name, shape=shape, role=role)  # type: ignore[arg-type]


def main() -> None:
    """Write all bundles."""
    DATA.mkdir(exist_ok=True)
    make_bundle(
        "tiny",
        "generator",
        {"generator": make_graph(GENERATOR, embedding=(4, 4), w=(12, 64), b=(64,))},
        [
            NormalPrior(name="z", shape=(8,)),
            CategoricalPrior(name="label", classes=4, labels=("circle", "square", "star", "wave")),
        ],
        IMAGE,
    )
    make_bundle(
        "tiny_vae",
        "vae",
        {
            "decoder": make_graph(DECODER, w=(4, 64), b=(64,)),
            "encoder": make_graph(ENCODER, w=(64, 4), v=(64, 4), b=(4,)),
        },
        [NormalPrior(name="z", shape=(4,))],
        OutputSpec(name="image", kind="image", range=(0.0, 1.0), layout="NCHW"),
    )
    noise = NormalPrior(name="noise", shape=(7, 3))
    make_loop_bundle(
        "tiny_recurrent",
        {"step": make_graph(RECURRENT, a=(3, 4), bias=(4,), b=(4, 4), c=(4, 5))},
        [noise],
        OutputSpec(name="rows", kind="sequence"),
        RecurrentSpec(
            component="step",
            states=(StateSpec(name="h", shape=(4,)),),
            sequences=("noise",),
            length=7,
        ),
    )
    make_loop_bundle(
        "tiny_tokens",
        {"step": make_graph(TOKENS, words=(6, 4), places=(12, 4), w=(4, 6), bias=(6,))},
        [],
        OutputSpec(name="text", kind="text", vocabulary=("", "a", "b", "c", " ", "the")),
        TokensSpec(
            component="step",
            states=(StateSpec(name="cache", shape=(12, 4), grows=0),),
            length=12,
            start=0,
            stop=(0,),
        ),
    )
    make_loop_bundle(
        "tiny_diffusion",
        {"denoiser": make_graph(DENOISER, embedding=(4, 1), rate=(1,), w=(1, 1, 3, 3))},
        [NormalPrior(name="x", shape=(1, 4, 4)), CategoricalPrior(name="label", classes=3)],
        IMAGE,
        DiffusionSpec(
            component="denoiser",
            schedule=Schedule(kind="linear", train_steps=100),
            steps=5,
            guidance=Guidance(condition="label", null=3, default=2.0),
        ),
    )
    make_bundle(
        "tiny_codes",
        "generator",
        {"generator": make_graph(CODES, w=(5, 5), b=(5,))},
        [
            CategoricalPrior(name="category", classes=3, encoding="one_hot"),
            UniformPrior(name="style", shape=(2,), low=-1.0, high=1.0),
        ],
        OutputSpec(name="output", kind="tensor"),
    )


if __name__ == "__main__":
    main()
