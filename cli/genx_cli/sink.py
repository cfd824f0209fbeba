"""The one output sink: lines for people, one JSON object for machines, or nothing."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import typer


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text as it is to a file or a pipe, and on a terminal without what could steer it.

    A bundle's vocabulary, labels and descriptions come from strangers.
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        from genx_runtimes.terminal import escape_controls

        text = escape_controls(text)
    # Named, or Click would go around the stream that keeps a progress display in one piece; without
    # colour, escapes are taken out of files.
    typer.echo(text, file=stream, nl=nl, color=True)


class Progress(Protocol):
    """A running progress display."""

    def step(self, text: str) -> None:
        """Say what is being done now."""
        ...

    def advance(self, count: int) -> None:
        """Count work as done."""
        ...

    def measure(self, done: int, total: int) -> None:
        """Say how far it is, where the total is known only on the way."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where a command's results go.

    Args:
        json: print one JSON object on stdout at the end and nothing else.
        quiet: print nothing but errors.
    """

    json: bool = False
    quiet: bool = False

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        if not (self.json or self.quiet):
            echo(text)

    def give(self, text: str) -> None:
        """Print what the command was asked to print on stdout, `--quiet` or not."""
        if not self.json:
            echo(text, nl=False)

    def warn(self, text: str) -> None:
        """Print a warning for people on stderr."""
        if not (self.json or self.quiet):
            echo(f"warning: {text}", err=True)

    def finish(self, result: Mapping[str, object]) -> None:
        """Print the result for machines; infinity and NaN, which JSON lacks, become null."""
        if self.json:
            typer.echo(json.dumps(_to_json(result), indent=2))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print aligned columns, the first left, the others right."""
        widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
        for row in (columns, *rows):
            cells = [
                c.rjust(w) if i else c.ljust(w)
                for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            self.say("  " + "  ".join(cells).rstrip())

    def show(self, renderable: object) -> None:
        """Print something of rich's, such as a table; 160 columns where there is no terminal."""
        if self.json or self.quiet:
            return
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 160).print(renderable)

    @contextmanager
    def progress(self, text: str, total: int | None = None) -> Iterator[Progress]:
        """Show long work on stderr while the block runs: a bar, or a spinner without a total.

        Without a terminal, or with --json or --quiet, nothing is shown.
        """
        if self.json or self.quiet or not sys.stderr.isatty():
            yield _Silent()
            return
        from genx_cli.progress import show_progress

        with show_progress(text, total) as shown:
            yield shown


def _to_json(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Silent:
    def step(self, text: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def measure(self, done: int, total: int) -> None:
        pass


_current = [Sink()]


def open_sink(*, json: bool, quiet: bool) -> Sink:
    """Set and return the sink of the running command."""
    _current[0] = Sink(json=json, quiet=quiet)
    return _current[0]


def current_sink() -> Sink:
    """Return the sink of the running command, for errors."""
    return _current[0]
