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
_JAVASCRIPT = "text/javascript; charset=utf-8"
# Path: file, type.
PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page/page.js": ("page.js", _JAVASCRIPT),
    "/page/api.js": ("api.js", _JAVASCRIPT),
    "/page/controls.js": ("controls.js", _JAVASCRIPT),
    "/page/display.js": ("display.js", _JAVASCRIPT),
    "/page/inputs.js": ("inputs.js", _JAVASCRIPT),
    "/page/link.js": ("link.js", _JAVASCRIPT),
    "/page/plots.js": ("plots.js", _JAVASCRIPT),
    "/page/results.js": ("results.js", _JAVASCRIPT),
    "/page/translation.js": ("translation.js", _JAVASCRIPT),
    "/page/walk.js": ("walk.js", _JAVASCRIPT),
}


def make_page_routes() -> list[Route]:
    """Return the routes of the page."""
    return [_make_route(path, name, kind) for path, (name, kind) in PAGE_FILES.items()]


def _make_route(path: str, name: str, kind: str) -> Route:
    content = (files(__name__) / name).read_bytes()
    headers = {"content-security-policy": _POLICY, "content-type": kind}

    async def show(_: Request) -> Response:
        return Response(content, headers=headers)

    return Route(path, show, name=f"page {name}")
