"""OpenAI's list of models, and what its endpoints for images, texts and sounds share.

Source: OpenAI API reference, "Models".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import CategoricalPrior, Manifest, OutputKind
from genx_runtimes.serve.answers import answer_json, endpoint
from genx_runtimes.serve.model import ServedModel
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.wire import Conditions


def make_routes(repository: Repository) -> list[Route]:
    """Return the routes of models."""
    created = int(time.time())

    def describe(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": created, "owned_by": "genx"}

    async def list_models(_: Request) -> Response:
        return answer_json({"object": "list", "data": [describe(n) for n in repository.entries]})

    async def get_model(request: Request) -> Response:
        name = request.path_params["model"]
        repository.find(name)
        return answer_json(describe(name))

    return [
        Route("/v1/models", endpoint(list_models), name="list_models"),
        Route("/v1/models/{model}", endpoint(get_model), name="get_model"),
    ]


async def pick(
    repository: Repository,
    name: str | None,
    held: ExitStack,
    kind: OutputKind | None = None,
    *,
    deadline: float,
) -> ServedModel:
    """Return the model of a name, or the only one that makes what is asked for.

    Args:
        repository: all models.
        name: None takes the only one.
        held: keeps it loaded until it is closed.
        kind: of output; None takes any.
        deadline: on the loop's clock, until which it is waited for while it is loaded.

    Raises:
        InputError: none or several make it, or the one that is named makes something else.
    """
    if name is None:
        fitting = [
            known
            for known, entry in repository.entries.items()
            if kind in (None, entry.bundle.manifest.output.kind)
        ]
        if len(fitting) != 1:
            raise InputError(
                f"{len(fitting)} models make this", fix=f"name one: {list(repository.entries)}"
            )
        (name,) = fitting
    output = repository.find(name).bundle.manifest.output
    if kind not in (None, output.kind):
        raise InputError(f"model {name!r} makes {output.noun}, not what this endpoint answers")
    model = await repository.get(name, deadline=deadline)
    held.enter_context(model.in_use())
    return model


def read_prompt(manifest: Manifest, prompt: str, conditions: Conditions) -> Conditions:
    """Return the conditions, with the class that a prompt names; a prompt is never ignored.

    Raises:
        InputError: it names no class of the model.
    """
    if not prompt:
        return conditions
    priors = [p for p in manifest.priors if isinstance(p, CategoricalPrior)]
    if len(priors) != 1:
        raise InputError(
            "this model understands no prompt", fix="leave it empty and send conditions instead"
        )
    (prior,) = priors
    known = prior.labels or tuple(map(str, range(prior.classes)))
    if prior.name in conditions:
        raise InputError(f"{prior.name!r} is given twice", fix="leave the prompt empty")
    if prompt not in known:
        raise InputError(
            f"the prompt {prompt!r} is no class of this model", fix=f"prompt one of {list(known)}"
        )
    return {**conditions, prior.name: prompt}


def refuse_given(given: Mapping[str, bool]) -> None:
    """Raise InputError for the first parameter that is given and cannot be met."""
    for name, is_given in given.items():
        if is_given:
            raise InputError(f"{name} is not supported", fix="leave it out")
