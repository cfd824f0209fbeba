"""Makes the committed bundles in tests/data: `python tests/make_tiny_bundle.py`.

The runtime's tests run where neither torch nor onnx is installed, so their bundles are made
elsewhere, as they would be for a device. Needs onnx.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

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
from genx_runtimes.sampling_specs import FeedforwardSpec
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
    name: str, family: str, graphs: Mapping[str, bytes], priors: Sequence[Prior], output: OutputSpec
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
        sampler=FeedforwardSpec(component=components[0].name),
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
    path = DATA / f"{name}.genx"
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
