"""Bundles as serving systems take them; see docs/package.md.

A new target costs one file here and one line in `TARGETS`.
"""

from __future__ import annotations

from importlib import import_module

from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.packaging.request import Packaged, PackageRequest, Write

__all__ = ["TARGETS", "PackageRequest", "Packaged", "package"]

# target: the module in this package and the `Write` in it
TARGETS = {
    "triton": ("triton", "write_repository"),
    "kserve": ("kserve", "write_service"),
    "oci": ("oci", "write_context"),
}


def package(bundle: Bundle, target: str, request: PackageRequest) -> Packaged:
    """Write a bundle as a serving system takes it, whole or not at all.

    Args:
        bundle: what is written.
        target: a name in `TARGETS`.
        request: where to, and with what.

    Raises:
        InputError: an unknown target or variant, something that is asked for has no meaning for the
            target, or the place is taken.
        IntegrityError: a file of the bundle is missing or altered.
        VerificationError: a graph does not give the golden samples here.
        OutputError: it cannot be written; nothing is left behind.
    """
    if target not in TARGETS:
        raise InputError(f"unknown target {target!r}", fix=suggest(target, TARGETS))
    module, name = TARGETS[target]
    write: Write = getattr(import_module(f"genx_runtimes.packaging.{module}"), name)
    return write(bundle, request)
