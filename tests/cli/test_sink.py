"""What strangers wrote does not steer a terminal; files and pipes have it as it is."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.file_proxy import FileProxy

from genx_cli.failures import report_failure
from genx_cli.sink import Sink, echo
from genx_runtimes.errors import InputError

WORDS = "a\x1b[2J\x9b31mb\r"
SHOWN = r"a\x1b[2J\x9b31mb\r"


class Terminal(io.StringIO):
    """A terminal that remembers what it was sent."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "seen"), [(Terminal, SHOWN), (io.StringIO, WORDS)])
def test_controls_are_shown_on_a_terminal_and_kept_in_a_file(
    stream: type[io.StringIO], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = stream(), stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    sink = Sink()
    sink.give(f"{WORDS}\n")
    sink.say(WORDS)
    sink.warn(WORDS)
    assert out.getvalue() == f"{seen}\n{seen}\n"
    assert err.getvalue() == f"warning: {seen}\n"


def test_errors_are_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    report_failure(InputError("no \x1b]0;title\x07 here"))
    assert terminal.getvalue() == "error: no \\x1b]0;title\\x07 here\n"


def test_a_line_goes_through_what_draws_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich puts such a stream in the place of stdout: what goes around it tears the bar apart."""
    shown, terminal = io.StringIO(), io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", FileProxy(Console(file=shown), terminal))
    echo("a line")
    assert shown.getvalue() == "a line\n"
    assert terminal.buffer.getvalue() == b""  # type: ignore[attr-defined]
