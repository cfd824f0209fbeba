"""Makes the committed bundles in tests/data: `python tests/make_tiny_bundle.py`.

The runtime's tests run where neither torch nor onnx is installed, so their bundles are made
elsewhere, as they would be for a device. Needs onnx.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnx.parser
import onnxruntime

from genx_export.bundle_writer import pack_arrays, refer, write_bundle
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
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions
from genx_runtimes.sampling_specs import FeedforwardSpec, SamplerSpec, StateSpec, TokensSpec
from genx_runtimes.session import Array
from genx_runtimes.verify_loop import LOOP

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

STEP = """g (int64[batch] token, int64[batch] position, float[batch,6] h)
    => (float[batch,12] logits, float[batch,6] next_h) {
    row = Gather(embedding, token)
    one = Constant<value_ints=[1]>()
    place = Cast<to=1>(position)
    column = Unsqueeze(place, one)
    far = Gemm(column, u)
    near = Gemm(h, w)
    next_h = Sum(row, far, near)
    bent = Tanh(next_h)
    logits = Gemm(bent, v, b)
}"""
VOCABULARY = ("", " ", ".", "T", "h", "e", "a", "n", "\u00f6", "r", "s", "t")


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
    *,
    sampler: SamplerSpec | None = None,
    looped: Mapping[str, Array] = MappingProxyType({}),
    folder: Path = DATA,
) -> None:
    """Write one bundle; the first graph is sampled and the others are fed by its outputs.

    In a sampling loop, `looped` is what the loop gave to the graphs at some step.
    """
    drawn: dict[str, Array] = LatentSource(priors, 0).draw(range(COUNT))
    available = {**drawn, **looped}
    golden: dict[str, Array] = {}
    components = []
    for component, model in graphs.items():
        inputs = [value.name for value in onnx.load_from_string(model).graph.input]
        outputs = run(model, {n: available[n] for n in inputs})
        rest = "data" if components else "prior"
        components.append(
            ComponentSpec(
                name=component,
                inputs=tuple(
                    _describe(n, available[n], "loop" if n in looped else rest) for n in inputs
                ),
                outputs=tuple(_describe(n, a, "output") for n, a in outputs.items()),
            )
        )
        golden |= {f"{component}/in/{n}": available[n] for n in inputs}
        golden |= {f"{component}/out/{n}": array for n, array in outputs.items()}
        available |= outputs
    spec = sampler or FeedforwardSpec(component=components[0].name)
    if looped:
        golden |= run_loop(graphs, spec, tuple(priors), output, drawn)
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
        sampler=spec,
        variants=(
            VariantSpec(
                name="fp32",
                precision="fp32",
                graphs={n: refer(f"graphs/fp32/{n}.onnx", data) for n, data in graphs.items()},
                tolerance=1e-5,
                quality={"max_error": 0.0},
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


@dataclass
class _Graph:
    """A graph as a loop calls it."""

    model: bytes

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return run(self.model, feeds)


def run_loop(
    graphs: Mapping[str, bytes],
    spec: SamplerSpec,
    priors: tuple[Prior, ...],
    output: OutputSpec,
    drawn: Mapping[str, Array],
) -> dict[str, Array]:
    """Return the golden arrays of a whole loop."""
    sessions = {name: _Graph(model) for name, model in graphs.items()}
    model = LoopModel(
        sampler=spec, priors=priors, output=output, max_batch=COUNT, sessions=sessions
    )
    draw = Draw(seed=0, indices=range(COUNT), feeds=drawn)
    *_, last = find_sampler(spec.kind).steps(model, draw, SamplingOptions())
    return {f"{LOOP}/out/{output.name}": last, **{f"{LOOP}/in/{n}": a for n, a in drawn.items()}}


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
    rng = np.random.default_rng(1)
    make_bundle(
        "tiny_text",
        "tokens",
        {"step": make_graph(STEP, embedding=(12, 6), u=(1, 6), w=(6, 6), v=(6, 12), b=(12,))},
        [],
        OutputSpec(name="text", kind="text", vocabulary=VOCABULARY),
        sampler=TokensSpec(
            component="step",
            states=(StateSpec(name="h", shape=(6,)),),
            length=24,
            start=0,
            stop=(2,),
        ),
        looped={
            "token": rng.integers(0, 12, COUNT),
            "position": rng.integers(0, 24, COUNT),
            "h": rng.standard_normal((COUNT, 6)).astype(np.float32),
        },
    )


if __name__ == "__main__":
    main()
