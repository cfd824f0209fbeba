"""The contenders, each in its own process: one case on stdin, its answer on stdout, as JSON.

    python benchmarks/contenders.py < case.json > answer.json

Peers are set up as a careful user would: all usable cores, the batch size made known to the engine
before it compiles, inputs and outputs not copied where the engine allows that. Where a contender
cannot run, the exit code is 1 and the last line of stderr says why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from measured_case import (
    ACTIONS,
    SAMPLES,
    TIMED_SEED,
    Case,
    Feeds,
    Run,
    draw,
    draw_calibration,
    make_once,
    name_derived,
    read_graph,
)

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.child import one_line
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.latents import LatentSource

if TYPE_CHECKING:
    from torch import nn


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # what an engine prints must not mix with the answer
    try:
        case = msgspec.json.decode(sys.stdin.buffer.read(), type=Case)
        bundle = open_bundle(case.bundle)
        run = CONTENDERS[case.contender](case, bundle)
        result = ACTIONS[case.action](case, bundle, run)
    except Exception as err:  # an engine may raise anything; the parent shows this line
        sys.exit(one_line(err))
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(result))


def load_eager(case: Case, bundle: Bundle) -> Run:
    """The original model in PyTorch."""
    return _call_torch(case, bundle, lambda module: module)


def load_compiled(case: Case, bundle: Bundle) -> Run:
    """The original model under torch.compile, which needs a C++ compiler."""
    import torch

    run = _call_torch(case, bundle, torch.compile)
    try:
        run(draw(case, bundle, TIMED_SEED, range(case.batch)))
    except Exception as err:
        sys.exit(f"not available: {one_line(err)[:200]}")
    return run


def load_onnxruntime(case: Case, bundle: Bundle, variant: str = "fp32") -> Run:
    """A graph of the bundle in onnxruntime."""
    return _run_onnxruntime(case, bundle, read_graph(bundle, variant))


def load_openvino(case: Case, bundle: Bundle, variant: str = "fp32") -> Run:
    """A graph of the bundle in OpenVINO."""
    return _run_openvino(case, bundle, read_graph(bundle, variant))


def load_onnxruntime_int8(case: Case, bundle: Bundle) -> Run:
    """The fp32 graph after onnxruntime's own static quantisation, with its defaults."""

    def quantise(path: Path) -> None:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, quantize_static

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._feeds = draw_calibration(case, bundle)

            def get_next(self) -> Feeds | None:
                return next(self._feeds, None)

        quantize_static(onnx.load_from_string(read_graph(bundle, "fp32")), path, Reader())

    path = make_once(name_derived(case, bundle, "int8.onnx"), quantise)
    return _run_onnxruntime(case, bundle, path.read_bytes())


def load_nncf_int8(case: Case, bundle: Bundle) -> Run:
    """The fp32 graph after NNCF's post-training quantisation, with its defaults, in OpenVINO."""
    import openvino as ov

    def quantise(path: Path) -> None:
        try:
            import nncf
        except ImportError:
            sys.exit("not available: pip install nncf")
        data = nncf.Dataset(list(draw_calibration(case, bundle)))
        model = ov.Core().read_model(read_graph(bundle, "fp32"))
        ov.save_model(nncf.quantize(model, data, subset_size=SAMPLES), path, compress_to_fp16=False)
        path.with_suffix(".bin").replace(weights)

    path = name_derived(case, bundle, "nncf.xml")
    weights = path.with_suffix(".bin")
    make_once(path, quantise)
    return _run_openvino(case, bundle, path, weights)


def load_genx(case: Case, bundle: Bundle) -> Run:
    """The bundle in genx, which chooses engine and variant by itself."""
    component, output = bundle.manifest.sampler.component, bundle.manifest.output.name
    session = bundle.session(component, backend="auto", batch=case.batch)
    return lambda feeds: session.run(feeds)[output]


def _find_form(bundle: Bundle) -> str:
    """Return the float32 variant that rewrites were applied to: the fastest of these forms."""
    for variant in bundle.manifest.variants:
        if variant.precision == "fp32" and variant.form != "native":
            return variant.name
    sys.exit("not available: the native form is faster than the rewritten ones")


def _call_torch(case: Case, bundle: Bundle, wrap: Callable[[nn.Module], Any]) -> Run:
    import torch

    from genx_export.feeding import feed_components
    from genx_export.sources import SourceRequest, load_source
    from genx_export.torch_component import ModuleComponent

    torch.set_num_threads(count_usable_cores())
    torch.set_num_interop_threads(1)
    manifest = bundle.manifest
    request = SourceRequest(
        weights=Path(case.weights) if case.weights else None,
        family=manifest.family,
        priors=manifest.priors,
        output=manifest.output,
    )
    latents = LatentSource(manifest.priors, 0).draw([0])
    components = feed_components(load_source(case.source, request), latents, size=1)
    fed = next(f for f in components if f.component.name == manifest.sampler.component)
    assert isinstance(fed.component, ModuleComponent)
    assert list(fed.outputs) == [manifest.output.name]
    call = wrap(fed.component.module)

    def run(feeds: Feeds) -> Any:
        with torch.inference_mode():
            return call(**{p: torch.from_numpy(feeds[n]) for p, n in fed.ports.items()}).numpy()

    return run


def _run_onnxruntime(case: Case, bundle: Bundle, graph: bytes) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = count_usable_cores()
    options.add_free_dimension_override_by_name("batch", case.batch)
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [bundle.manifest.output.name]
    return lambda feeds: session.run(names, feeds)[0]


def _run_openvino(case: Case, bundle: Bundle, *model: bytes | Path) -> Run:
    import openvino as ov

    core = ov.Core()
    graph = core.read_model(*model)
    graph.reshape({i.any_name: [case.batch, *list(i.partial_shape)[1:]] for i in graph.inputs})
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": count_usable_cores(),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(graph, "CPU", config)
    request = compiled.create_infer_request()
    port = compiled.output(bundle.manifest.output.name)
    return lambda feeds: request.infer(feeds, share_inputs=True, share_outputs=True)[port]


CONTENDERS: dict[str, Callable[[Case, Bundle], Run]] = {
    "pytorch eager": load_eager,
    "torch.compile": load_compiled,
    "onnxruntime fp32": load_onnxruntime,
    "openvino fp32": load_openvino,
    "onnxruntime int8": load_onnxruntime_int8,
    "nncf int8": load_nncf_int8,
    "genx auto": load_genx,
    "onnxruntime rewritten": lambda case, bundle: load_onnxruntime(
        case, bundle, _find_form(bundle)
    ),
    "openvino rewritten": lambda case, bundle: load_openvino(case, bundle, _find_form(bundle)),
}

if __name__ == "__main__":
    main()
