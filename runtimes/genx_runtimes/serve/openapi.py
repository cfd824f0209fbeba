"""The description of the API, OpenAPI 3.1, made from the types that requests are parsed by.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genx_runtimes.serve import openapi_answers as answers
from genx_runtimes.serve import openapi_examples as examples
from genx_runtimes.serve.completions import CompletionRequest
from genx_runtimes.serve.images import ImageRequest
from genx_runtimes.serve.middleware import OPEN_PATHS
from genx_runtimes.serve.oip_requests import IndexRequest, InferRequest, RepositoryRequest
from genx_runtimes.serve.openapi_parts import (
    BYTES,
    ERROR,
    EVENTS,
    JSON,
    PNG,
    REF,
    SEED,
    describe_answers,
    describe_get,
    describe_path,
    describe_post,
    describe_query,
    refer,
)
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.speech import SpeechRequest
from genx_runtimes.serve.wire import SampleRequest
from genx_runtimes.version import __version__

_REQUESTS = (
    SampleRequest,
    ImageRequest,
    CompletionRequest,
    SpeechRequest,
    InferRequest,
    IndexRequest,
    RepositoryRequest,
)
_ANSWERS = (
    answers.Samples,
    answers.Contract,
    answers.ModelList,
    answers.Model,
    answers.Images,
    answers.Completion,
    answers.ServerMetadata,
    answers.Live,
    answers.Ready,
    answers.ModelMetadata,
    answers.ModelReady,
    answers.InferAnswer,
    answers.ModelState,
    answers.Done,
)
# Either is taken.
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def describe_api(repository: Repository) -> dict[str, object]:
    """Return the OpenAPI document of a server.

    Args:
        repository: examples are of its models.
    """
    _, schemas = msgspec.json.schema_components((*_REQUESTS, *_ANSWERS), ref_template=REF)
    paths = _describe_paths(repository)
    for path in ("/v2/models/{model}", "/v2/models/{model}/ready", "/v2/models/{model}/infer"):
        versioned = path.replace("{model}", "{model}/versions/{version}")
        paths[versioned] = {
            method: {
                **operation,
                "operationId": f"{operation['operationId']}_version",
                "parameters": [*operation["parameters"], describe_path("version", "1")],
            }
            for method, operation in paths[path].items()
        }
    for path in OPEN_PATHS & paths.keys():
        paths[path]["get"]["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "genx serve",
            "version": __version__,
            "description": "Sampling from generative models: sample i of a seed is the same, "
            "whatever it is drawn together with.",
        },
        "paths": paths,
        "components": {"schemas": {**schemas, "Error": ERROR}, "securitySchemes": _KEYS},
        "security": [{name: []} for name in _KEYS] if repository.settings.api_keys else [],
    }


def _describe_paths(repository: Repository) -> dict[str, Any]:
    manifests = [entry.bundle.manifest for entry in repository.entries.values()]
    name = manifests[0].name
    translator = next((m.name for m in manifests if examples.is_translator(m)), None)
    state = {"schema": {"type": "array", "items": refer(answers.ModelState)}}
    ready = describe_get(
        "Whether every model is loaded and verified", "server_ready", answers.Ready
    )
    ready["get"]["responses"]["503"] = {
        "description": "One is not.",
        "content": {JSON: {"schema": refer(answers.Ready)}},
    }
    return {
        "/v1/sample": describe_post(
            "Draw samples",
            SampleRequest,
            {
                JSON: answers.Samples,
                PNG: None,
                "audio/wav": None,
                "application/octet-stream": None,
                EVENTS: None,
            },
            examples.give_samples(manifests),
            headers=SEED,
        ),
        "/v1/translate": {
            "post": {
                "summary": "Translate a picture",
                "operationId": "translate",
                "parameters": [
                    describe_query("model", "string", translator),
                    describe_query("seed", "integer", 0),
                ],
                "requestBody": {
                    "required": True,
                    "content": {kind: {"schema": BYTES} for kind in (PNG, "image/jpeg")},
                },
                "responses": describe_answers({PNG: None}, SEED),
            }
        },
        "/v1/contracts/{model}": describe_get(
            "What a model takes and makes", "contract", answers.Contract, name
        ),
        "/v1/models": describe_get("List models", "list_models", answers.ModelList),
        "/v1/models/{model}": describe_get("A model", "get_model", answers.Model, name),
        "/v1/images/generations": describe_post(
            "Make images (OpenAI)",
            ImageRequest,
            {JSON: answers.Images, EVENTS: None},
            examples.give_images(manifests),
        ),
        "/v1/completions": describe_post(
            "Complete a text (OpenAI)",
            CompletionRequest,
            {JSON: answers.Completion, EVENTS: None},
            examples.give_texts(manifests),
        ),
        "/v1/audio/speech": describe_post(
            "Make a sound (OpenAI)",
            SpeechRequest,
            {"audio/wav": None},
            examples.give_sounds(manifests),
            headers=SEED,
        ),
        "/v2": describe_get("The server", "server_metadata", answers.ServerMetadata),
        "/v2/health/live": describe_get("Whether it runs", "server_live", answers.Live),
        "/v2/health/ready": ready,
        "/v2/models/{model}": describe_get(
            "A model's tensors", "model_metadata", answers.ModelMetadata, name
        ),
        "/v2/models/{model}/ready": describe_get(
            "Whether a model is loaded", "model_ready", answers.ModelReady, name
        ),
        "/v2/models/{model}/infer": describe_post(
            "Run a model (Open Inference Protocol)",
            InferRequest,
            {JSON: answers.InferAnswer, "application/octet-stream": None},
            examples.give_tensors(),
            model=name,
        ),
        "/v2/repository/index": describe_post(
            "List models and their state",
            IndexRequest,
            {JSON: state},
            {"all": {"value": {}}, "ready": {"value": {"ready": True}}},
            required=False,
        ),
        "/v2/repository/models/{model}/load": describe_post(
            "Load a model again",
            RepositoryRequest,
            {JSON: answers.Done},
            {},
            model=name,
            name="repository_load",
            required=False,
        ),
        "/v2/repository/models/{model}/unload": describe_post(
            "Free a model",
            RepositoryRequest,
            {JSON: answers.Done},
            {},
            model=name,
            name="repository_unload",
            required=False,
        ),
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "operationId": "metrics",
                "responses": describe_answers({"text/plain": None}),
            }
        },
    }
