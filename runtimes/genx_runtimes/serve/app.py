"""The ASGI application: routes, the guard in front of them, and what runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from genx_runtimes.bundle import Bundle
from genx_runtimes.serve import completions, images, oip, oip_repository, openai, sampling, speech
from genx_runtimes.serve.answers import answer_error, answer_json
from genx_runtimes.serve.metrics import CONTENT_TYPE, Metrics
from genx_runtimes.serve.middleware import Guard
from genx_runtimes.serve.openapi import describe_api
from genx_runtimes.serve.page import make_page_routes
from genx_runtimes.serve.refusals import NotFoundError, RefusalError
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.settings import ServeSettings


def make_app(bundles: Sequence[Bundle], settings: ServeSettings) -> Starlette:
    """Return the application that serves bundles; models are loaded when it starts.

    Args:
        bundles: opened, with different names.
        settings: how they are served.

    Raises:
        InputError: two bundles have the same name.
    """
    metrics = Metrics()
    repository = Repository(bundles, settings, metrics)

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def show_api(_: Request) -> Response:
        return answer_json(describe_api(repository))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(repository.load_all())]
        if settings.watch_s:
            tasks.append(asyncio.create_task(repository.watch()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await repository.close()

    async def refuse(request: Request, err: Exception) -> Response:
        status = getattr(err, "status_code", 404)
        refusal: RefusalError = NotFoundError(f"there is nothing at {request.url.path}")
        if status == 405:
            refusal = RefusalError(f"{request.url.path} does not take {request.method}")
        answer = answer_error(request.url.path, refusal)
        answer.status_code = status
        answer.headers.update(getattr(err, "headers", None) or {})
        return answer

    routes = [
        *sampling.make_routes(repository),  # first: they are compared with a path in turn
        *oip.make_routes(repository),
        *oip_repository.make_routes(repository),
        *openai.make_routes(repository),
        *images.make_routes(repository),
        *completions.make_routes(repository),
        *speech.make_routes(repository),
        Route("/metrics", show_metrics, name="metrics"),
        Route("/openapi.json", show_api, name="openapi"),
        *make_page_routes(),
    ]
    guard = Middleware(
        Guard,
        settings=settings,
        metrics=metrics,
        patterns={route.endpoint: route.path for route in routes},
        is_draining=lambda: repository.draining,
    )
    app = Starlette(
        routes=routes,
        middleware=[guard],
        exception_handlers={404: refuse, 405: refuse},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.repository = repository
    app.state.metrics = metrics
    return app
