"""The description of the API: examples that are answered, schemas of every answer, keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from tests.serve.conftest import DATA, Server

from genx_runtimes import open_bundle
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.openapi import describe_api
from genx_runtimes.serve.openapi_examples import give_sounds
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.settings import ServeSettings


def describe(*names: str, **settings: Any) -> dict[str, Any]:
    bundles = [open_bundle(DATA / f"{name}.genx") for name in names]
    found: dict[str, Any] = describe_api(Repository(bundles, ServeSettings(**settings), Metrics()))
    return found


def list_answers(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for answer in operation["responses"].values():
                for media in answer["content"].values():
                    yield path, media["schema"]


def test_no_answer_is_without_a_schema() -> None:
    document = describe("tiny")
    schemas = document["components"]["schemas"]
    for path, schema in list_answers(document):
        assert schema, path
        if "$ref" in schema:
            assert schemas[schema["$ref"].rpartition("/")[2]]


def test_examples_are_of_the_bundles_that_answer_them() -> None:
    document = describe("tiny_tokens", "tiny", "tiny_diffusion")

    def names(path: str) -> list[str]:
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        return [e["value"]["model"] for e in content.get("examples", {}).values()]

    assert names("/v1/sample") == ["tiny_tokens", "tiny", "tiny_diffusion"]
    assert names("/v1/images/generations") == ["tiny", "tiny_diffusion"]
    assert names("/v1/completions") == ["tiny_tokens"]
    assert names("/v1/audio/speech") == []
    manifest = open_bundle(DATA / "tiny_vae.genx").manifest
    sound = replace(manifest, output=OutputSpec(name="x", kind="audio", sample_rate=8000))
    assert list(give_sounds([manifest, sound])) == ["tiny_vae"]


def test_examples_are_answered(server: Server) -> None:
    paths = server.ask("GET", "/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        body = operations.get("post", {}).get("requestBody", {})
        given = body.get("content", {}).get("application/json", {}).get("examples", {})
        for example in given.values():
            answer = server.ask("POST", path.format(model="tiny", version="1"), example["value"])
            assert answer.status == 200, (path, example, answer.body)
            asked += 1
    assert asked >= 9


def test_either_key_is_described_where_one_is_asked_for() -> None:
    assert describe("tiny")["security"] == []
    document = describe("tiny", api_keys=("a" * 16,))
    schemes = document["components"]["securitySchemes"]
    assert schemes["header"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert document["security"] == [{"bearer": []}, {"header": []}]
    paths = document["paths"]
    opened = {path for path in paths if paths[path].get("get", {}).get("security") == []}
    assert opened == {"/v2/health/live", "/v2/health/ready"}


@pytest.mark.parametrize("name", ["tiny", "tiny_tokens"])
def test_answers_that_no_fuzzing_makes(server: Server, name: str) -> None:
    """Those of good requests, of which schemathesis makes few."""
    import jsonschema

    schemas = server.ask("GET", "/openapi.json").json()["components"]["schemas"]
    text = {"model": name, "n": 2, "format": "json"}
    infer: dict[str, object] = {"inputs": []}
    for kind, path, body in (
        ("Samples", "/v1/sample", text),
        ("Contract", f"/v1/contracts/{name}", None),
        ("InferAnswer", f"/v2/models/{name}/infer", infer),
    ):
        answer = server.ask("GET" if body is None else "POST", path, body)
        assert answer.status == 200, answer.body
        schema = {"$ref": f"#/components/schemas/{kind}", "components": {"schemas": schemas}}
        jsonschema.validate(answer.json(), schema)
