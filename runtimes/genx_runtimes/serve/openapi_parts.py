"""Operations of the API's description: requests, answers and refusals.

Source: OpenAPI Specification 3.1.1, "Operation Object".
"""

from __future__ import annotations

from typing import Any

from genx_runtimes.serve.openapi_examples import Examples

JSON = "application/json"
PNG = "image/png"
EVENTS = "text/event-stream"
REF = "#/components/schemas/{name}"
BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
_EVENT: dict[str, Any] = {
    "description": "Each event; data is JSON, or [DONE].",
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
_TEXTS: dict[str, Any] = {EVENTS: _EVENT, "text/plain": {"type": "string"}}
Media = dict[str, Any]
ERROR: dict[str, Any] = {
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
    "408": "The body was not here in time.",
    "413": "The body is too large.",
    "415": "The body is compressed in another way than by gzip or deflate.",
    "421": "The server is not called so.",
    "431": "The head is too large.",
    "429": "The queue is full; Retry-After says when to come again.",
    "503": "The model is not ready, or the server is about to end.",
    "504": "It waited too long; the work was dropped.",
}
SEED = {
    "x-genx-seed": {
        "description": "The seed, drawn where none was given.",
        "schema": {"type": "integer"},
    }
}


def describe_post(
    summary: str,
    kind: type,
    media: Media,
    given: Examples,
    *,
    model: str | None = None,
    name: str = "",
    headers: dict[str, Any] | None = None,
    required: bool = True,
) -> dict[str, Any]:
    """Return an operation that takes JSON; `media` is that of `describe_answers`."""
    content: dict[str, Any] = {"schema": refer(kind)}
    if given:
        content["examples"] = given
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": name or kind.__name__,
        "requestBody": {"required": required, "content": {JSON: content}},
        "responses": describe_answers(media, headers),
    }
    if model is not None:
        operation["parameters"] = [describe_path("model", model)]
    return {"post": operation}


def describe_get(summary: str, name: str, answer: type, model: str | None = None) -> dict[str, Any]:
    """Return an operation that answers JSON."""
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": name,
        "responses": describe_answers({JSON: answer}),
    }
    if model is not None:
        operation["parameters"] = [describe_path("model", model)]
    return {"get": operation}


def describe_answers(media: Media, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return all answers; `media` has the type of a JSON answer, or what describes it."""
    plain = {kind: {"schema": _TEXTS.get(kind, BYTES)} for kind in media}
    typed = {
        kind: {"schema": refer(answer)} if isinstance(answer, type) else answer
        for kind, answer in media.items()
        if answer is not None
    }
    refusal = {JSON: {"schema": {"$ref": REF.format(name="Error")}}}
    answer = {"description": "The answer.", "content": {**plain, **typed}}
    if headers:
        answer["headers"] = headers
    return {
        "200": answer,
        **{s: {"description": text, "content": refusal} for s, text in _REFUSALS.items()},
    }


def refer(kind: type) -> dict[str, str]:
    """Return the reference to a type's schema."""
    return {"$ref": REF.format(name=kind.__name__)}


def describe_path(name: str, example: str) -> dict[str, Any]:
    """Return a part of the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "example": example,
    }


def describe_query(name: str, kind: str, example: str | int | None) -> dict[str, Any]:
    """Return a parameter of the query."""
    found = {"name": name, "in": "query", "required": False, "schema": {"type": kind}}
    return found if example is None else {**found, "example": example}
