"""The Open Inference Protocol, spoken by NVIDIA's own client, unmodified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tests.serve.conftest import TINY, TOKENS, Server, Start
from tritonclient.utils import InferenceServerException

from genx_runtimes import open_bundle
from genx_runtimes.samplers.loop import SamplingOptions

CLOSE = 1e-5  # the same graph at another batch size


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.netloc) as made:
        yield made


def put(name: str, array: np.ndarray[Any, Any], kind: str, *, binary: bool = True) -> Any:
    tensor = triton.InferInput(name, array.shape, kind)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def integers(name: str, value: int, kind: str = "INT64", *, binary: bool = True) -> Any:
    dtype = np.uint64 if kind == "UINT64" else np.int64
    return put(name, np.array([value], dtype), kind, binary=binary)


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    about = client.get_server_metadata()
    assert about["name"] == "genx"
    assert {"binary_tensor_data", "model_repository"} <= set(about["extensions"])
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny.generator", "1")
    assert not client.is_model_ready("tony")
    generator = client.get_model_metadata("tiny.generator")
    assert generator["inputs"] == [
        {"name": "z", "datatype": "FP32", "shape": [-1, 8]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ]
    assert generator["outputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    sampler = client.get_model_metadata("tiny", "1")
    assert [t["name"] for t in sampler["inputs"]] == ["seed", "n", "start", "z", "label"]
    assert [t["name"] for t in sampler["outputs"]] == ["image", "pixels"]


@pytest.mark.parametrize("binary", [True, False])
def test_a_component(client: triton.InferenceServerClient, binary: bool) -> None:
    bundle = open_bundle(TINY)
    golden = bundle.golden()
    z, label = (golden[f"generator/in/{n}"][:3] for n in ("z", "label"))
    result = client.infer(
        "tiny.generator",
        [put("z", z, "FP32", binary=binary), put("label", label, "INT64", binary=binary)],
        outputs=[triton.InferRequestedOutput("image", binary_data=binary)],
        request_id="mine",
    )
    assert result.get_response()["id"] == "mine"
    np.testing.assert_allclose(
        result.as_numpy("image"), golden["generator/out/image"][:3], rtol=0, atol=CLOSE
    )


@pytest.mark.parametrize("binary", [True, False])
def test_the_sampler(client: triton.InferenceServerClient, binary: bool) -> None:
    inputs = [
        integers("seed", 2**64 - 1, "UINT64", binary=binary),
        integers("n", 3, binary=binary),
        integers("start", 5, "UINT64", binary=binary),
        put("label", np.array([2, 0, 1]), "INT64", binary=binary),
    ]
    asked = [triton.InferRequestedOutput(n, binary_data=binary) for n in ("image", "pixels")]
    result = client.infer("tiny", inputs, outputs=asked)
    with open_bundle(TINY).sampler() as sampler:
        for row, label in enumerate((2, 0, 1)):
            (batch,) = sampler.sample(1, seed=2**64 - 1, start=5 + row, conditions={"label": label})
            got = result.as_numpy("image")[row : row + 1]
            np.testing.assert_allclose(got, batch.output, rtol=0, atol=CLOSE)
            pixels = result.as_numpy("pixels")[row : row + 1]
            assert np.abs(pixels.astype(int) - batch.images().astype(int)).max() <= 1


def test_a_default_request_asks_for_all_outputs(client: triton.InferenceServerClient) -> None:
    result = client.infer("tiny", [integers("n", 2)])
    assert result.as_numpy("image").shape == (2, 1, 8, 8)
    assert result.as_numpy("pixels").shape == (2, 8, 8, 1)
    assert result.as_numpy("pixels").dtype == np.uint8


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_bytes(client: triton.InferenceServerClient, binary: bool) -> None:
    settings = {"temperature": 0.7, "length": 6}
    result = client.infer(
        "tiny_tokens",
        [integers("seed", 3), integers("n", 2)],
        outputs=[triton.InferRequestedOutput("text", binary_data=binary)],
        parameters=settings,
    )
    with open_bundle(TOKENS).sampler() as sampler:
        options = SamplingOptions(temperature=0.7, length=6)
        (batch,) = sampler.sample(2, seed=3, options=options)
    found = [t.decode() if isinstance(t, bytes) else t for t in result.as_numpy("text")]
    assert found == batch.texts()


def test_a_seed_that_the_server_chose_is_told(client: triton.InferenceServerClient) -> None:
    first = client.infer("tiny", [])
    seed = first.get_response()["parameters"]["seed"]
    again = client.infer("tiny", [integers("seed", seed, "UINT64")])
    assert again.get_response()["parameters"] == {"seed": seed}
    np.testing.assert_allclose(again.as_numpy("image"), first.as_numpy("image"), rtol=0, atol=CLOSE)
    assert client.infer("tiny", []).get_response()["parameters"] != {"seed": seed}


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compressed_requests(
    client: triton.InferenceServerClient, algorithm: str, binary: bool
) -> None:
    inputs = [integers("seed", 5, "UINT64", binary=binary), integers("n", 2, binary=binary)]
    plain = client.infer("tiny", inputs)
    packed = client.infer("tiny", inputs, request_compression_algorithm=algorithm)
    np.testing.assert_allclose(
        packed.as_numpy("image"), plain.as_numpy("image"), rtol=0, atol=CLOSE
    )


def test_asynchronous_requests(client: triton.InferenceServerClient) -> None:
    waiting = [client.async_infer("tiny", [integers("seed", 9, "UINT64")]) for _ in range(4)]
    images = [one.get_result().as_numpy("image") for one in waiting]
    for image in images[1:]:
        np.testing.assert_allclose(image, images[0], rtol=0, atol=CLOSE)


def test_compressed_answers_are_not_forced(client: triton.InferenceServerClient) -> None:
    result = client.infer("tiny", [integers("n", 1)], response_compression_algorithm="gzip")
    assert result.as_numpy("image").shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("model", "inputs", "says"),
    [
        ("tony", [integers("n", 1)], "did you mean 'tiny'"),
        ("tiny.discriminator", [integers("n", 1)], "unknown model 'tiny.discriminator'"),
        ("tiny", [integers("m", 1)], "there is no input 'm'"),
        ("tiny", [integers("n", 0)], "n is 0, expected 1 or more"),
        ("tiny", [integers("n", 257)], "n is 257, this server allows 256"),
        ("tiny", [put("n", np.ones(1, np.float32), "FP32")], "expected one integer"),
        ("tiny", [put("label", np.array([4]), "INT64")], "no class '4'"),
        ("tiny", [put("z", np.full((1, 8), np.nan, np.float32), "FP32")], "expected finite"),
        ("tiny.generator", [put("z", np.zeros((1, 8), np.float32), "FP32")], "needs the input"),
        (
            "tiny.generator",
            [
                put("z", np.zeros((1, 7), np.float32), "FP32"),
                put("label", np.zeros(1, int), "INT64"),
            ],
            "has shape (1, 7), expected (batch, 8)",
        ),
        (
            "tiny.generator",
            [
                put("z", np.zeros((17, 8), np.float32), "FP32"),
                put("label", np.zeros(17, int), "INT64"),
            ],
            "takes 1 to 16",
        ),
    ],
)
def test_errors(
    client: triton.InferenceServerClient, model: str, inputs: list[Any], says: str
) -> None:
    with pytest.raises(
        InferenceServerException, match=says.replace("(", r"\(").replace(")", r"\)")
    ):
        client.infer(model, inputs)


def test_an_output_that_is_not_there(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no output 'pixel'"):
        client.infer("tiny", [integers("n", 1)], outputs=[triton.InferRequestedOutput("pixel")])


def test_it_is_told_before_the_work_is_done(
    client: triton.InferenceServerClient, server: Server
) -> None:
    made = server.metric('genx_samples_total{model="tiny"}')
    for output in ("pixel", "text"):
        with pytest.raises(InferenceServerException, match="no output"):
            client.infer("tiny", [], outputs=[triton.InferRequestedOutput(output)])
    assert server.metric('genx_samples_total{model="tiny"}') == made


@pytest.mark.parametrize("model", ["tiny", "tiny.generator"])
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sequence_id": 3}, "sequence_id is not supported"),
        ({"sequence_id": "a"}, "sequence_id is not supported"),
        ({"priority": 1}, "priority is not supported"),
        ({"timeout": -1}, "timeout is -1, expected microseconds, 0 or more"),
        ({"timeout": 0.5}, "timeout is 0.5, expected microseconds"),
        ({"parameters": {"colour": 1}}, "the request has no parameter 'colour'"),
        ({"outputs": [("image", {"class_count": 2})]}, "has no parameter 'classification'"),
    ],
)
def test_what_is_not_done_is_refused(
    client: triton.InferenceServerClient, model: str, asked: dict[str, Any], says: str
) -> None:
    if "outputs" in asked:
        made = [triton.InferRequestedOutput(name, **rest) for name, rest in asked["outputs"]]
        asked = {"outputs": made}
    with pytest.raises(InferenceServerException, match=says):
        client.infer(model, golden_inputs() if "." in model else [], **asked)


def golden_inputs() -> list[Any]:
    golden = open_bundle(TINY).golden()
    z, label = (golden[f"generator/in/{n}"][:1] for n in ("z", "label"))
    return [put("z", z, "FP32"), put("label", label, "INT64")]


@pytest.mark.parametrize("model", ["tiny", "tiny.generator"])
def test_a_timeout_of_the_request(client: triton.InferenceServerClient, model: str) -> None:
    inputs = golden_inputs() if "." in model else []
    with pytest.raises(InferenceServerException, match="the work was dropped"):
        client.infer(model, inputs, timeout=1)
    for timeout in (0, 10**8):  # none, and more than the server's own
        assert client.infer(model, inputs, timeout=timeout).as_numpy("image").shape[0] == 1


def test_a_parameter_that_is_not_there(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no parameter 'stepz'; did you mean"):
        client.infer("tiny", [integers("n", 1)], parameters={"stepz": 4})
    with pytest.raises(InferenceServerException, match="has no meaning for this bundle"):
        client.infer("tiny", [integers("n", 1)], parameters={"steps": 4})


def list_ready(client: triton.InferenceServerClient) -> Any:
    return json.loads(client._post("v2/repository/index", '{"ready": true}', {}, {}).read())


def test_the_repository(serve: Start, tiny_copy: Path) -> None:
    with triton.InferenceServerClient(serve(tiny_copy).netloc) as client:
        index = client.get_model_repository_index()
        assert [(m["name"], m["state"]) for m in index] == [
            ("tiny", "READY"),
            ("tiny.generator", "READY"),
        ]
        assert list_ready(client) == index
        for act in (client.load_model, client.unload_model):
            with pytest.raises(
                InferenceServerException, match=r"'tiny\.generator' is a part of 'tiny'"
            ):
                act("tiny.generator")
        with pytest.raises(InferenceServerException, match="'config' cannot be met"):
            client.load_model("tiny", config="{}")
        overrides = '{"parameters": {"file:1/model.onnx": "AAAA"}}'
        answer = client._post("v2/repository/models/tiny/load", overrides, {}, {})
        assert answer.status_code == 400
        assert b"cannot be met" in answer.read()
        assert client.is_model_ready("tiny")
        client.unload_model("tiny", unload_dependents=True)
        assert list_ready(client) == []
        assert not client.is_model_ready("tiny")
        assert client.is_server_ready()
        index = client.get_model_repository_index()
        assert {(m["state"], m["reason"]) for m in index} == {
            ("UNAVAILABLE", "unloaded by request")
        }
        with pytest.raises(InferenceServerException, match="is unloaded"):
            client.infer("tiny", [integers("n", 1)])
        client.load_model("tiny")
        assert client.is_model_ready("tiny")
        assert client.infer("tiny", [integers("n", 1)]).as_numpy("image").shape == (1, 1, 8, 8)
        with pytest.raises(InferenceServerException, match="unknown model"):
            client.load_model("tony")
