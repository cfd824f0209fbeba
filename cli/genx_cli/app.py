"""The Typer application: one file a command, one error table, one output sink."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genx_cli.failures import UsageError, exit_code, report_failure, report_lost_output
from genx_cli.option_groups import spread_groups
from genx_cli.sink import open_sink
from genx_runtimes.version import __version__

# In the order of `genx --help`; each is the function of that name in genx_cli/commands/NAME.py.
COMMANDS = (
    "export",
    "quantize",
    "build",
    "verify",
    "sample",
    "generate",
    "translate",
    "encode",
    "reconstruct",
    "traverse",
    "inspect",
    "serve",
    "package",
    "bench",
    "compare",
    "tune",
    "doctor",
)
# Their `--json` takes a file's name.
_NAME_JSON = ("bench", "compare")


class _Group(TyperGroup):
    """Imports a command when it is named; turns known errors into one line and an exit code."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names of all commands, imported or not."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return the command, imported now if need be; None if there is none of that name."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:  # all: to suggest a near one
            if name not in self.commands:
                module = import_module(f"genx_cli.commands.{name}")
                single = typer.Typer(add_completion=False)
                single.command(name)(spread_groups(getattr(module, name)))
                self.add_command(typer.main.get_command(single))
        return super().get_command(ctx, cmd_name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse and run; wrong arguments, too, are told as `--json` asks."""
        open_sink(json=_wants_json(sys.argv[1:] if args is None else args), quiet=False)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except (UsageError, typer.Abort, KeyboardInterrupt) as err:
            report_failure(err)
            code = exit_code(err)
        except OSError as err:
            if err.filename is not None or "--debug" in (sys.argv[1:] if args is None else args):
                raise
            code = report_lost_output(err)
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the command; `--debug` lets errors through with their traceback."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as err:
            code = exit_code(err)
            if code is None or ctx.params.get("debug") or isinstance(err, UsageError):
                raise
            report_failure(err)
            raise typer.Exit(code) from err


def _wants_json(args: Sequence[str]) -> bool:
    """Return whether stdout is for JSON: `--json`, or `--json -` of commands that name a file."""
    if "--json" not in args:
        return False
    return args[0] not in _NAME_JSON or "-" in args[args.index("--json") + 1 :][:1]


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
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, and logs.")
    ] = False,
) -> None:
    del version
    if debug:
        import logging

        logging.basicConfig()
        logging.getLogger("genx").setLevel(logging.DEBUG)
