"""The versions of what determines the bytes beside the settings."""

from __future__ import annotations

import zlib
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from genx_runtimes.backends import find_backend
from genx_runtimes.version import __version__

if TYPE_CHECKING:
    from genx_runtimes.generate.formats import Format
    from genx_runtimes.generate.plan import ImageSettings


def find_versions(backend: str, form: Format, image: ImageSettings | None) -> dict[str, str]:
    """Return the version of each package that a data set's bytes depend on.

    Args:
        backend: NAME or NAME:DEVICE.
        form: of the shards.
        image: how images become bytes; None where there are none.

    Raises:
        BackendUnavailableError: the engine is not installed.
    """
    engine = find_backend(backend)
    engine.require()
    versions = {"genx": __version__, "numpy": np.__version__}
    for package in (engine.requires, form.requires):
        if package:
            versions[package] = _find(package)
    if image is not None and image.encoding == "png":
        versions["zlib"] = zlib.ZLIB_RUNTIME_VERSION
    elif image is not None:
        versions["pillow"] = version("pillow")
    return dict(sorted(versions.items()))


def _find(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # another distribution of the same module
        return str(getattr(import_module(package), "__version__", "unknown"))
