"""The values of a configuration file, each read as what it must be.

A folder may come from anywhere. The libraries check what they build their modules with, and not
what is only written down beside it, such as a size or a scaling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genx_runtimes.errors import SourceError

_FIX = "save the model again with its own save_pretrained, or correct the file"


class Settings:
    """A configuration: a JSON object, or what a library made of it with its defaults filled in.

    A value that is null counts as left out.

    Args:
        path: of the file, for errors.
        values: by name.
    """

    def __init__(self, path: Path, values: Mapping[str, Any] | object) -> None:
        self.path = path
        self._values = values

    def get(self, name: str) -> Any:
        """Return a value as it is; None where it is left out."""
        if isinstance(self._values, Mapping):
            return self._values.get(name)
        return getattr(self._values, name, None)

    def integer(self, name: str, *, least: int = 1, default: int | None = None) -> int:
        """Return a whole number.

        Raises:
            SourceError: it is none, below `least`, or left out without a default.
        """
        value = default if self.get(name) is None else self.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._refuse(name, f"a whole number, {least} or more")
        return value

    def number(self, name: str, *, default: float | None = None) -> float:
        """Return a finite number other than 0.

        Raises:
            SourceError: it is none, or left out without a default.
        """
        value = default if self.get(name) is None else self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(name, "a number")
        if not math.isfinite(value) or (value == 0 and default != 0):
            raise self._refuse(name, "a finite number other than 0")
        return float(value)

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a text.

        Raises:
            SourceError: it is none, or left out without a default.
        """
        value = default if self.get(name) is None else self.get(name)
        if not isinstance(value, str):
            raise self._refuse(name, "a text")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Return whole numbers of 0 or more, of a list or a single one; empty where left out.

        Raises:
            SourceError: it is something else.
        """
        value = self.get(name)
        if value is None:
            return ()
        items = list(value) if isinstance(value, list | tuple) else [value]
        if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in items):
            raise self._refuse(name, "a whole number of 0 or more, or a list of them")
        return tuple(items)

    def size(self, name: str) -> tuple[int, int]:
        """Return height and width, of two numbers or of one for both.

        Raises:
            SourceError: it is something else, or left out.
        """
        found = self.integers(name)
        if len(found) not in (1, 2) or min(found) < 1:
            raise self._refuse(name, "the size that the model was trained with, as N or [H, W]")
        return found[0], found[-1]

    def members(self, name: str) -> Mapping[str, Any]:
        """Return an object; an empty one where it is left out.

        Raises:
            SourceError: it is something else.
        """
        value = {} if self.get(name) is None else self.get(name)
        if not isinstance(value, Mapping):
            raise self._refuse(name, "an object")
        return value

    def cannot_express(self, name: str) -> SourceError:
        """Return the error for a setting that a bundle has no way to say."""
        return SourceError(
            f"{self.path}: a bundle cannot express {name} = {self.get(name)!r}",
            fix="see docs/families/huggingface.md for what it can",
        )

    def _refuse(self, name: str, expected: str) -> SourceError:
        value = self.get(name)
        got = f"has no {name}" if value is None else f"has {name} = {value!r}"
        return SourceError(f"{self.path} {got}, expected {expected}", fix=_FIX)
