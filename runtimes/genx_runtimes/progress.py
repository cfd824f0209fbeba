"""How long work says what it is doing: a line, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
