"""The files that a benchmark writes: checked before it starts, written when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from genx_runtimes.bench import BenchReport

_STDOUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """Where a report goes.

    Args:
        json: a file; `-` is standard output; None is nowhere.
        html: a file; None is nowhere.
        force: whether files that are there are replaced.
    """

    json: Path | None
    html: Path | None
    force: bool

    @property
    def prints_json(self) -> bool:
        """Whether the report is printed and nothing else is."""
        return self.json == _STDOUT

    def check(self) -> None:
        """Raise InputError unless the files have the right endings and may be written."""
        from genx_runtimes.writing import check_file

        for path, ending in ((self.json, ".json"), (self.html, ".html")):
            if path is not None and path != _STDOUT:
                check_file(path, ending, force=self.force)

    def write(self, report: BenchReport) -> list[str]:
        """Write the files; return a line about each."""
        from genx_runtimes.bench import encode_report
        from genx_runtimes.writing import write_whole

        lines = []
        if self.prints_json:
            typer.echo(encode_report(report), nl=False)
        elif self.json is not None:
            with write_whole(self.json) as file:
                file.write(encode_report(report))
            lines.append(f"wrote {self.json}: the report, for genx compare")
        if self.html is not None:
            from genx_runtimes.bench.page import make_page

            with write_whole(self.html) as file:
                file.write(make_page([report]).encode())
            lines.append(f"wrote {self.html}: the report as one page")
        return lines
