"""The description of the API, OpenAPI 3.1, made from the types that requests are parsed by.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genx_runtimes.serve.completions import CompletionRequest
from genx_runtimes.serve.images import ImageRequest
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.speech import SpeechRequest
from genx_runtimes.serve.tensors import InferRequest
from genx_runtimes.serve.wire import SampleRequest
from genx_runtimes.version import __version__

_JSON = "application/json"
_PNG = "image/png"
_EVENTS = "text/event-stream"
_REF = "#/components/schemas/{name}"
_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
_ANY: dict[str, Any] = {"type": "object"}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["message", "type"],
                    "properties": {"message": {"type": "string"}, "type": {"type": "string"}},
                },
            ]
        }
    },
}
# Status: when.
_REFUSALS = {
    "400": "The request is wrong; the message says how.",
    "401": "The key is missing or wrong.",
    "403": "The page of another site sent it.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "429": "The queue is full; Retry-After says when to come again.",
    "503": "The model is not ready, or the server is about to end.",
    "504": "It waited too long; the work was dropped.",
}


def describe_api(repository: Repository) -> dict[str, object]:
    """Return the OpenAPI document of a server.

    Args:
        repository: examples name its first model.
    """
    name = next(iter(repository.entries))
    requests = (SampleRequest, ImageRequest, CompletionRequest, SpeechRequest, InferRequest)
    _, schemas = msgspec.json.schema_components(requests, ref_template=_REF)
    infer: dict[str, object] = {
        "inputs": [
            {"name": "seed", "shape": [1], "datatype": "UINT64", "data": [0]},
            {"name": "n", "shape": [1], "datatype": "INT64", "data": [2]},
        ]
    }
    paths: dict[str, Any] = {
        "/v1/sample": _post(
            "Draw samples",
            SampleRequest,
            {"model": name, "n": 4, "seed": 7},
            (_PNG, "application/octet-stream", _JSON, _EVENTS),
        ),
        "/v1/translate": {
            "post": {
                "summary": "Translate a picture",
                "operationId": "translate",
                "parameters": [_query("model", "string"), _query("seed", "integer")],
                "requestBody": {
                    "required": True,
                    "content": {kind: {"schema": _BYTES} for kind in (_PNG, "image/jpeg")},
                },
                "responses": _responses(_PNG),
            }
        },
        "/v1/contracts/{model}": _get("What a model takes and makes", "contract", name),
        "/v1/models": _get("List models", "list_models"),
        "/v1/models/{model}": _get("A model", "get_model", name),
        "/v1/images/generations": _post(
            "Make images (OpenAI)",
            ImageRequest,
            {"model": name, "n": 1, "seed": 7},
            (_JSON, _EVENTS),
        ),
        "/v1/completions": _post(
            "Complete a text (OpenAI)",
            CompletionRequest,
            {"model": name, "prompt": "The ", "max_tokens": 32, "seed": 7},
            (_JSON, _EVENTS),
        ),
        "/v1/audio/speech": _post(
            "Make a sound (OpenAI)",
            SpeechRequest,
            {"model": name, "input": "", "voice": "none", "seed": 7},
            ("audio/wav",),
        ),
        "/v2": _get("The server", "server_metadata"),
        "/v2/health/live": _get("Whether it runs", "server_live"),
        "/v2/health/ready": _get("Whether every model is loaded and verified", "server_ready"),
        "/v2/models/{model}": _get("A model's tensors", "model_metadata", name),
        "/v2/models/{model}/ready": _get("Whether a model is loaded", "model_ready", name),
        "/v2/models/{model}/infer": _post(
            "Run a model (Open Inference Protocol)",
            InferRequest,
            infer,
            (_JSON, "application/octet-stream"),
            model=name,
        ),
        "/v2/repository/index": _act("List models and their state", "repository_index"),
        "/v2/repository/models/{model}/load": _act("Load a model again", "repository_load", name),
        "/v2/repository/models/{model}/unload": _act("Free a model", "repository_unload", name),
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "operationId": "metrics",
                "responses": _responses("text/plain"),
            }
        },
    }
    for path in ("/v2/models/{model}", "/v2/models/{model}/ready", "/v2/models/{model}/infer"):
        versioned = path.replace("{model}", "{model}/versions/{version}")
        paths[versioned] = {
            method: {
                **operation,
                "operationId": f"{operation['operationId']}_version",
                "parameters": [*operation["parameters"], _path("version", "1")],
            }
            for method, operation in paths[path].items()
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "genx serve",
            "version": __version__,
            "description": "Sampling from generative models: sample i of a seed is the same, "
            "whatever it is drawn together with.",
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if repository.settings.api_keys else [],
    }


def _post(
    summary: str,
    kind: type,
    example: dict[str, object],
    media: tuple[str, ...],
    *,
    model: str | None = None,
) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": kind.__name__,
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": schema, "example": example}},
        },
        "responses": _responses(*media),
    }
    if model is not None:
        operation["parameters"] = [_path("model", model)]
    return {"post": operation}


def _act(summary: str, name: str, model: str | None = None) -> dict[str, Any]:
    return {"post": _get(summary, name, model)["get"]}


def _get(summary: str, name: str, model: str | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": name,
        "responses": _responses(_JSON),
    }
    if model is not None:
        operation["parameters"] = [_path("model", model)]
    return {"get": operation}


def _responses(*media: str) -> dict[str, Any]:
    schemas = {_JSON: {}, _EVENTS: {}, "text/plain": {"type": "string"}}
    found = {kind: {"schema": schemas.get(kind, _BYTES)} for kind in media}
    refusal = {_JSON: {"schema": {"$ref": _REF.format(name="Error")}}}
    return {
        "200": {"description": "The answer.", "content": found},
        **{s: {"description": text, "content": refusal} for s, text in _REFUSALS.items()},
    }


def _path(name: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "example": example,
    }


def _query(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": kind}}
