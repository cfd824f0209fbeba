"""The page at `/`: static files of this package, served under a strict policy."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# Path: file, type.
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}


def make_page_routes() -> list[Route]:
    """Return the routes of the page."""
    return [_make_route(path, name, kind) for path, (name, kind) in _FILES.items()]


def _make_route(path: str, name: str, kind: str) -> Route:
    content = (files(__name__) / name).read_bytes()
    headers = {"content-security-policy": _POLICY, "content-type": kind}

    async def show(_: Request) -> Response:
        return Response(content, headers=headers)

    return Route(path, show, name=name)
