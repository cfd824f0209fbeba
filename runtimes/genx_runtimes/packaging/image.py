"""What an image of `--for oci` holds, and how its server is started."""

from __future__ import annotations

import re

FOLDER = "bundle"


def simplify(name: str) -> str:
    """Return a name as images and Kubernetes take it: a-z and 0-9, a - between."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def bundle_path(name: str) -> str:
    """Return where a bundle of that name lies in the image."""
    return f"/{FOLDER}/{name}.genx"


def list_serve_arguments(bundle: str, precision: str, port: int) -> list[str]:
    """Return what is given to `genx` for a server that others reach."""
    return [
        "serve",
        bundle,
        "--precision",
        precision,
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
    ]
