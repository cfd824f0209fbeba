"""The exact versions of what runs here, for an environment that is to be the same.

Source: Python Packaging User Guide, "Dependency specifiers"; of a marker only `extra` is looked at:
what it leaves out on this machine is not installed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution

from genx_runtimes.errors import BackendUnavailableError

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?")
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)["']""")


def list_pins(package: str, *extras: str) -> tuple[str, ...]:
    """Return NAME==VERSION of all that a package and its extras need, sorted; not of itself.

    Raises:
        BackendUnavailableError: one of them is not installed here.
    """
    pins: dict[str, str] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = [(_normalise(package), frozenset(map(_normalise, extras)), False)]
    while waiting:
        name, wanted, may_lack = waiting.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        try:
            found = distribution(name)
        except PackageNotFoundError as err:
            if may_lack:
                continue
            raise BackendUnavailableError(
                f"{name} is not installed here, so that its version is not known",
                fix=f"pip install {name}",
            ) from err
        pins[name] = found.version
        waiting += _list_needed(found.requires or (), wanted)
    pins.pop(_normalise(package), None)
    return tuple(sorted(f"{name}=={version}" for name, version in pins.items()))


def _list_needed(
    requirements: list[str] | tuple[str, ...], wanted: frozenset[str]
) -> Iterator[tuple[str, frozenset[str], bool]]:
    """Yield name, extras and whether a marker may leave it out."""
    for text in requirements:
        parsed = _REQUIREMENT.match(text)
        if parsed is None:
            continue
        name, extras, _, marker = parsed.groups(default="")
        asked = {_normalise(extra) for extra in _EXTRA.findall(marker)}
        if asked and not asked & wanted:
            continue
        named = frozenset(_normalise(extra) for extra in extras.split(",") if extra.strip())
        others = re.sub(r"\band\b|\bor\b|[()\s]", "", _EXTRA.sub("", marker))
        yield _normalise(name), named, bool(others)


def _normalise(name: str) -> str:
    """Return a name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
