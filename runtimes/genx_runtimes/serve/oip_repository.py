"""The model repository over HTTP: what there is, loading again, unloading.

A bundle is loaded and unloaded whole; its components are listed as the models that they are.

Source: Triton, "Model repository extension".
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.errors import InputError
from genx_runtimes.serve import wire
from genx_runtimes.serve.answers import answer_json, endpoint
from genx_runtimes.serve.oip_models import VERSION, name_models
from genx_runtimes.serve.oip_requests import (
    IndexRequest,
    RepositoryRequest,
    check_load,
    check_unload,
)
from genx_runtimes.serve.repository import Repository


def make_routes(repository: Repository) -> list[Route]:
    """Return the routes under /v2/repository."""

    async def index(request: Request) -> Response:
        asked = wire.decode(await request.body() or b"{}", IndexRequest)
        return answer_json(
            [
                {
                    "name": name,
                    "version": VERSION,
                    "state": "UNAVAILABLE" if entry.reason else "READY",
                    "reason": entry.reason,
                }
                for entry in repository.entries.values()
                if not (asked.ready and entry.reason)
                for name in name_models(entry.bundle.manifest)
            ]
        )

    async def load(request: Request) -> Response:
        check_load(wire.decode(await request.body() or b"{}", RepositoryRequest))
        await repository.load(_find_bundle(repository, request))
        return answer_json({})

    async def unload(request: Request) -> Response:
        check_unload(wire.decode(await request.body() or b"{}", RepositoryRequest))
        await repository.unload(_find_bundle(repository, request))
        return answer_json({})

    path = "/v2/repository"
    routes = [
        Route(f"{path}/index", endpoint(index), methods=["POST"], name="repository_index"),
    ]
    for name, handler in (("load", load), ("unload", unload)):
        routes.append(
            Route(
                f"{path}/models/{{model}}/{name}",
                endpoint(handler),
                methods=["POST"],
                name=f"repository_{name}",
            )
        )
    return routes


def _find_bundle(repository: Repository, request: Request) -> str:
    """Return the bundle that a request names.

    Raises:
        InputError: it names a component.
        NotFoundError: there is none.
    """
    full: str = request.path_params["model"]
    for name, entry in repository.entries.items():
        if full != name and full in name_models(entry.bundle.manifest):
            raise InputError(f"{full!r} is a part of {name!r}, which is loaded and unloaded whole")
    repository.find(full)
    return full
