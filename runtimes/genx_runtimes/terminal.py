"""Text that others wrote, as a terminal may have it."""

from __future__ import annotations

import re

# C0 but for tab and line feed, delete, C1, and Unicode's embeddings, overrides and isolates.
_CONTROLS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def escape_controls(text: str) -> str:
    r"""Return a text that a terminal shows instead of obeying: `\x1b` in the place of an escape.

    Tabs and line feeds stay; other control characters, and those that turn the direction of what
    follows, are written as Python does.
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)
