"""A Triton repository parses, says what the ONNX files say, and warms up with golden samples."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from google.protobuf import text_format
from tests.packaging.conftest import DATA, add_variant, edit
from tests.triton_repository import (
    check_repository,
    load_definitions,
    read_config,
    read_request,
    run_model,
)

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import InputError, VerificationError
from genx_runtimes.packaging import Packaged, PackageRequest, package
from genx_runtimes.packaging.protobuf_text import Message, Word, write_text
from genx_runtimes.serve.tensors import read_request as read_body
from genx_runtimes.tuning import Combination, Goal, Request, Tuning, store, tune
from genx_runtimes.tuning.engines import describe_machine

NAMES = sorted(path.stem for path in DATA.glob("*.genx"))


def write(bundle: Bundle, repository: Path, **options: object) -> Packaged:
    return package(bundle, "triton", PackageRequest(path=repository, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_bundle(name: str, tmp_path: Path) -> None:
    bundle = open_bundle(DATA / f"{name}.genx")
    made = write(bundle, tmp_path / "models")
    assert {path.name for path in (tmp_path / "models").iterdir()} == set(made.names)
    check_repository(tmp_path / "models", bundle)


def test_batches_are_the_bundle_s_and_nothing_was_measured(tiny: Bundle, tmp_path: Path) -> None:
    made = write(tiny, tmp_path)
    config = read_config(tmp_path / "tiny.generator")
    assert config.max_batch_size == 16
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.preferred_batch_size
    (group,) = config.instance_group
    kind = load_definitions().ModelInstanceGroup.KIND_AUTO
    assert (group.count, group.kind) == (1, kind)
    assert not config.parameters
    assert [tuple(port.dims) for port in config.input] == [(8,), (1,)]
    label = config.input[1]
    assert label.HasField("reshape")
    assert not label.reshape.shape
    assert [w.batch_size for w in config.model_warmup] == [1, 1, 1, 1, 16]
    told = " ".join(made.notes)
    assert "the client draws z, label" in told
    assert "genx tune BUNDLE --for throughput" in told
    assert made.command == f"tritonserver --model-repository={tmp_path}"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data + bytes(4),
        lambda data: np.frombuffer(data, "<f4").astype(">f4").tobytes(),
        lambda data: (np.frombuffer(data, "<f4") + np.float32(1e-2)).tobytes(),
    ],
    ids=["short", "long", "big-endian", "off"],
)
def test_wrong_bytes_of_a_warmup_are_found(damage: object, tiny: Bundle, tmp_path: Path) -> None:
    write(tiny, tmp_path)
    check_repository(tmp_path, tiny)
    path = tmp_path / "tiny.generator" / "warmup" / "golden_2_input_0.bin"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(AssertionError):
        check_repository(tmp_path, tiny)


def test_a_loop_is_left_to_the_client(tmp_path: Path) -> None:
    made = write(open_bundle(DATA / "tiny_diffusion.genx"), tmp_path)
    assert "the client draws x, label and runs the diffusion loop" in made.notes[0]
    time = read_config(tmp_path / "tiny_diffusion.denoiser").input[1]
    assert (time.name, tuple(time.dims), tuple(time.reshape.shape)) == ("time", (1,), ())


def test_a_graph_of_one_batch_size(tiny_copy: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_copy / "graphs" / "fp32" / "generator.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    add_variant(tiny_copy, "fp32", model.SerializeToString())
    edit(tiny_copy, lambda manifest: manifest.update(batch={"min": 2, "max": 2}))
    bundle = open_bundle(tiny_copy)
    made = write(bundle, tmp_path / "models")
    check_repository(tmp_path / "models", bundle)
    config = read_config(tmp_path / "models" / "tiny.generator")
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert [tuple(port.dims) for port in config.input] == [(2, 8), (2,)]
    feeds = read_request(tmp_path / "models" / "tiny.generator", config, config.model_warmup[1])
    assert np.array_equal(feeds["z"], bundle.golden()["generator/in/z"][2:4])
    assert "tiny.generator takes batches of 2 as they are: nothing is joined" in made.notes


def test_a_smallest_batch_that_triton_does_not_know(tiny_copy: Path, tmp_path: Path) -> None:
    edit(tiny_copy, lambda manifest: manifest.update(batch={"min": 2, "max": 8}))
    bundle = open_bundle(tiny_copy)
    made = write(bundle, tmp_path / "models")
    check_repository(tmp_path / "models", bundle)
    config = read_config(tmp_path / "models" / "tiny.generator")
    assert (config.max_batch_size, tuple(config.input[0].dims)) == (0, (-1, 8))
    assert [tuple(w.inputs["z"].dims) for w in config.model_warmup] == [(2, 8)] * 4
    assert "tiny.generator takes batches of 2 to 8 as they are: nothing is joined" in made.notes


def test_the_variant_that_is_asked_for(tiny: Bundle, tiny_copy: Path, tmp_path: Path) -> None:
    other = onnx.load(tiny_copy / "graphs" / "fp32" / "generator.onnx")
    other.producer_name = "another"
    add_variant(tiny_copy, "fp16", other.SerializeToString())
    bundle = open_bundle(tiny_copy)
    assert write(bundle, tmp_path / "first").variant == "fp32"
    assert write(bundle, tmp_path / "other", precision="fp16").variant == "fp16"
    check_repository(tmp_path / "other", bundle, "fp16")
    with pytest.raises(InputError, match="no precision 'fp17'; did you mean 'fp16'"):
        write(bundle, tmp_path / "none", precision="fp17")


def _remember(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    goal: Goal,
    *combinations: Combination,
    precision: str | None = None,
) -> None:
    def search(bundle: Bundle, request: Request, **_: object) -> Tuning:
        return Tuning(
            digest=bundle.digest,
            goal=goal,
            batches=request.batches,
            machine=describe_machine(),
            precision=precision,
            combinations=combinations,
        )

    with monkeypatch.context() as patch:
        patch.setattr(store, "search", search)
        batches = (8,) if goal == "latency" else (1, 8)
        tune(bundle, Request(goal=goal, batches=batches, precision=precision))


def _combine(**fields: object) -> Combination:
    usual: dict[str, object] = {"backend": "onnxruntime", "variant": "fp32", "p50_ms": 1.0}
    return Combination(**{**usual, "threads": 1, "batch": 8, **fields})  # type: ignore[arg-type]


def test_what_was_tuned_for_throughput(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remember(tiny, monkeypatch, "latency", _combine(threads=4))
    _remember(
        tiny,
        monkeypatch,
        "throughput",
        _combine(backend="openvino", samples_per_s=900.0),
        _combine(instances=3, threads=2, samples_per_s=500.0),
        _combine(samples_per_s=800.0, failure="crashed"),
        _combine(samples_per_s=300.0),
    )
    made = write(tiny, tmp_path)
    check_repository(tmp_path, tiny)
    config = read_config(tmp_path / "tiny.generator")
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    (group,) = config.instance_group
    assert (group.count, group.kind) == (3, load_definitions().ModelInstanceGroup.KIND_CPU)
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert config.model_warmup[-1].batch_size == 8
    text = (tmp_path / "tiny.generator" / "config.pbtxt").read_text()
    assert f"# genx tune on {describe_machine()}: onnxruntime fp32 with 3 instances of" in text
    assert any("found openvino fp32 with 1 thread faster" in note for note in made.notes)


def test_what_was_tuned_for_latency_tells_threads_alone(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remember(tiny, monkeypatch, "latency", _combine(threads=4))
    write(tiny, tmp_path)
    config = read_config(tmp_path / "tiny.generator")
    assert not config.dynamic_batching.preferred_batch_size
    assert config.instance_group[0].count == 1
    assert config.parameters["intra_op_thread_count"].string_value == "4"


def test_what_was_tuned_for_one_variant_is_for_that_one(
    tiny_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = (tiny_copy / "graphs" / "fp32" / "generator.onnx").read_bytes()
    add_variant(tiny_copy, "fp16", graph)
    bundle = open_bundle(tiny_copy)
    found = _combine(variant="fp16", instances=2, samples_per_s=10.0)
    _remember(bundle, monkeypatch, "throughput", found, precision="fp16")
    for name, count in (("fp32", 1), ("fp16", 2)):
        write(bundle, tmp_path / name, precision=name)
        assert read_config(tmp_path / name / "tiny.generator").instance_group[0].count == count


def test_a_repository_grows_and_nothing_is_replaced_unasked(tiny: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write(tiny, repository)
    write(open_bundle(DATA / "tiny_vae.genx"), repository)
    names = {"tiny.generator", "tiny_vae.decoder", "tiny_vae.encoder"}
    assert {path.name for path in repository.iterdir()} == names
    config = repository / "tiny.generator" / "config.pbtxt"
    config.write_text(f"{config.read_text()}# mine\n")
    before = config.read_text()
    with pytest.raises(InputError, match=r"tiny.generator exists already; --force replaces it"):
        write(tiny, repository)
    assert config.read_text() == before
    (repository / "tiny.generator" / "2").mkdir()
    write(tiny, repository, force=True)
    check_repository(repository, tiny)
    assert not (repository / "tiny.generator" / "2").exists()
    assert {path.name for path in repository.iterdir()} == names


def test_what_is_no_model_is_left_alone(tiny: Bundle, tmp_path: Path) -> None:
    (tmp_path / "tiny.generator").mkdir()
    (tmp_path / "tiny.generator" / "thesis.txt").write_text("mine")
    (tmp_path / "tiny.generator" / "config.pbtxt").write_text('name: "tiny.generator"')
    with pytest.raises(InputError, match="exists and is not by genx package; -o elsewhere"):
        write(tiny, tmp_path, force=True)
    with pytest.raises(InputError, match=r"thesis.txt is a file"):
        write(tiny, tmp_path / "tiny.generator" / "thesis.txt", force=True)
    assert (tmp_path / "tiny.generator" / "thesis.txt").read_text() == "mine"


def test_graphs_that_do_not_give_the_golden_samples(tiny_copy: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_copy / "graphs" / "fp32" / "generator.onnx")
    (bias,) = (t for t in model.graph.initializer if t.name == "b")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.ones(64, np.float32), "b"))
    add_variant(tiny_copy, "fp32", model.SerializeToString())
    with pytest.raises(VerificationError, match=r"\(fp32, onnxruntime\) is off by"):
        write(open_bundle(tiny_copy), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb\0", "ä→", "# }", ""])
def test_texts_are_quoted(text: str) -> None:
    message = Message((("name", text), ("input", Message((("name", text), ("dims", (1, -1)))))))
    config = text_format.Parse(write_text(message), load_definitions().ModelConfig())
    assert (config.name, config.input[0].name) == (text, text)
    assert list(config.input[0].dims) == [1, -1]
    assert write_text(Message((("kind", Word("KIND_CPU")),))) == "kind: KIND_CPU\n"


def test_the_manual_s_client(tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends what the configuration asks for, and gets what `genx sample` draws."""
    write(tiny, tmp_path)

    class Server:
        def __init__(self, _: str) -> None:
            pass

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def infer(self, name: str, inputs: list[triton.InferInput]) -> Server:
            assert name == "dcgan.generator"
            body, length = generate(inputs)
            _, feeds = read_body(body, None if length is None else str(length))
            self.outputs = run_model(tmp_path / "tiny.generator", feeds)
            return self

        def as_numpy(self, name: str) -> object:
            return self.outputs[name]

    generate = triton.InferenceServerClient.generate_request_body
    monkeypatch.setattr(triton, "InferenceServerClient", Server)
    manual = (DATA.parents[1] / "docs" / "package.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    found: dict[str, object] = {}
    (tmp_path / "dcgan.genx").symlink_to(DATA / "tiny.genx")
    monkeypatch.chdir(tmp_path)
    exec(code, found)
    with tiny.sampler() as sampler:
        (batch,) = sampler.sample(16, seed=7)
    np.testing.assert_allclose(found["images"], batch.output, rtol=0, atol=1e-5)  # type: ignore[arg-type]
