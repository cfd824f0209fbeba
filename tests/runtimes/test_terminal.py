from __future__ import annotations

import pytest

from genx_runtimes.terminal import escape_controls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\n", "a\tb\n"),
        ("naïve — 日本語 🎲", "naïve — 日本語 🎲"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("over\rwritten\x08", r"over\rwritten\x08"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\u202etxt.exe\u2069", r"\u202etxt.exe\u2069"),
    ],
)
def test_a_terminal_shows_controls_and_does_not_obey_them(text: str, shown: str) -> None:
    assert escape_controls(text) == shown
