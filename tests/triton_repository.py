"""A model repository as Triton reads it: by its own protobuf definitions, and by its rules.

Source: triton-inference-server/core, `ValidateIOShape` and `ValidateModelConfig` in
`model_config_utils.cc`, `InferenceRequest::Normalize` in `infer_request.cc`, `GenerateWarmupData`
in `backend_model_instance.cc`; triton-inference-server/onnxruntime_backend, `CompareDimsSupported`.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf import text_format

from genx_runtimes.bundle import Bundle
from genx_runtimes.manifest import ComponentSpec, VariantSpec
from genx_runtimes.session import Array
from genx_runtimes.verify import measure_error, measure_range

DTYPES = {
    "TYPE_BOOL": "bool",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
    "TYPE_FP16": "float16",
    "TYPE_FP32": "float32",
    "TYPE_FP64": "float64",
}


@cache
def load_definitions() -> Any:
    """Return tritonclient's `model_config_pb2`, without the package around it, which needs grpc."""
    package = find_spec("tritonclient")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_config(model: Path) -> Any:
    """Return a model's configuration, which must be one that Triton accepts."""
    text = (model / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, load_definitions().ModelConfig())
    assert (config.name, config.platform) == (model.name, "onnxruntime_onnx")
    for port in (*config.input, *config.output):
        assert port.dims
        assert all(size >= 1 or size == -1 for size in (*port.dims, *port.reshape.shape))
        if port.HasField("reshape"):
            assert config.max_batch_size > 0
            assert math.prod(port.dims) == math.prod(port.reshape.shape)
    if config.HasField("dynamic_batching"):
        sizes = config.dynamic_batching.preferred_batch_size
        assert all(0 < size <= config.max_batch_size for size in sizes)
    assert config.instance_group
    return config


def check_repository(repository: Path, bundle: Bundle, precision: str | None = None) -> None:
    """Compare each model with its ONNX file, and what its warm-up gives with the golden samples."""
    variant = bundle.variant(precision)
    golden = bundle.golden()
    for component in bundle.manifest.components:
        model = repository / f"{bundle.manifest.name}.{component.name}"
        config = read_config(model)
        graph = model / "1" / "model.onnx"
        assert graph.read_bytes() == bundle.read_graph(component.name, precision)
        _check_ports(config, onnx.load(graph).graph)
        _check_warmup(model, config, component, variant, bundle, golden)
        assert (model / "manifest.json").read_bytes() == bundle.manifest_bytes


def _check_ports(config: Any, graph: onnx.GraphProto) -> None:
    initialised = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initialised]
    for declared, values in ((config.input, inputs), (config.output, graph.output)):
        assert [port.name for port in declared] == [value.name for value in values]
        for port, value in zip(declared, values, strict=True):
            tensor = value.type.tensor_type
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            assert DTYPES[_name_type(port.data_type)] == dtype.name
            sizes = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
            assert _full_shape(config, port) == sizes


def _full_shape(config: Any, port: Any) -> tuple[int, ...]:
    """Return the shape that the graph has to have."""
    inner = port.reshape.shape if port.HasField("reshape") else port.dims
    return (*((-1,) if config.max_batch_size else ()), *inner)


def _check_warmup(
    model: Path,
    config: Any,
    component: ComponentSpec,
    variant: VariantSpec,
    bundle: Bundle,
    golden: dict[str, Array],
) -> None:
    assert config.model_warmup
    session = _open(model)
    names = [port.name for port in config.output]
    runs = [session.run(names, read_request(model, config, w)) for w in config.model_warmup]
    chosen = np.concatenate([_find_samples(warmup) for warmup in config.model_warmup])
    contract = bundle.manifest.output
    for number, name in enumerate(names):
        expected = golden[f"{component.name}/out/{name}"]
        got = np.concatenate([run[number] for run in runs])
        scale = measure_range(expected, contract.range if name == contract.name else None)
        error, psnr = measure_error(got, expected[chosen], scale)
        assert error <= variant.tolerance, f"{model.name}: {name} is off by {error:.1e}"
        assert psnr >= (variant.min_psnr_db or -math.inf)
    used = {tensor.input_data_file for w in config.model_warmup for tensor in w.inputs.values()}
    assert {path.name for path in (model / "warmup").iterdir()} == used


def read_request(model: Path, config: Any, warmup: Any) -> dict[str, Array]:
    """Return what the graph is fed, as Triton makes it of a warm-up's files."""
    assert set(warmup.inputs) == {port.name for port in config.input}
    assert warmup.batch_size >= 1
    feeds: dict[str, Array] = {}
    for name, tensor in warmup.inputs.items():
        data = (model / "warmup" / tensor.input_data_file).read_bytes()
        dtype = np.dtype(DTYPES[_name_type(tensor.data_type)]).newbyteorder("<")
        assert len(data) == dtype.itemsize * math.prod(tensor.dims)
        array = np.frombuffer(data, dtype).reshape(tuple(tensor.dims))
        if config.max_batch_size:
            array = np.repeat(array[None], warmup.batch_size, axis=0)
        else:
            assert warmup.batch_size == 1
        feeds[name] = array
    return _take(config, feeds)


def run_model(model: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    """Return what a model answers a request."""
    config = read_config(model)
    names = [port.name for port in config.output]
    return dict(zip(names, _open(model).run(names, _take(config, feeds)), strict=True))


def _take(config: Any, request: dict[str, Array]) -> dict[str, Array]:
    """Return what the graph is fed, of a request that must be as the configuration says."""
    feeds = {}
    for port in config.input:
        array = request[port.name]
        assert array.dtype.name == DTYPES[_name_type(port.data_type)]
        batch = array.shape[:1] if config.max_batch_size else ()
        assert all(size <= config.max_batch_size for size in batch)
        assert len(array.shape) == len(batch) + len(port.dims)
        pairs = zip(array.shape[len(batch) :], port.dims, strict=True)
        assert all(size in (given, -1) for given, size in pairs)
        if port.HasField("reshape"):
            array = array.reshape(*batch, *port.reshape.shape)
        feeds[port.name] = array
    return feeds


def _open(model: Path) -> onnxruntime.InferenceSession:
    graph = str(model / "1" / "model.onnx")
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def _find_samples(warmup: Any) -> Array:
    """Return which golden samples a request holds, by its name."""
    if warmup.name == "usual_batch":
        return np.zeros(warmup.batch_size, int)
    first, _, last = warmup.name.removeprefix("golden_").partition("_to_")
    return np.arange(int(first), int(last or first) + 1)


def _name_type(value: int) -> str:
    name: str = load_definitions().DataType.Name(value)
    return name
