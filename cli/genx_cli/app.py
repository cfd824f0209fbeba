"""The Typer application: one file a command, one error table, one output sink."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

from genx_cli.commands.bench import bench
from genx_cli.commands.doctor import doctor
from genx_cli.commands.export import export
from genx_cli.commands.inspect import inspect
from genx_cli.commands.sample import sample
from genx_cli.commands.verify import verify
from genx_cli.failures import exit_code, report_failure
from genx_runtimes.version import __version__


class _Group(TyperGroup):
    """Turns known errors of any command into one line and an exit code."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the command; `--debug` lets errors through with their traceback."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as err:
            code = exit_code(err)
            if code is None or ctx.params.get("debug"):
                raise
            report_failure(err)
            raise typer.Exit(code) from err


app = typer.Typer(
    name="genx",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Export trained PyTorch generative models; sample them anywhere without torch.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"genx {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    del version, debug


for _command in (export, verify, sample, inspect, bench, doctor):
    app.command()(_command)
