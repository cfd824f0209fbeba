"""The one table of errors: exit codes, and how each is told."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import cast

import typer

from genx_cli.sink import current_sink, echo
from genx_runtimes.errors import GenxError, InputError, VerificationError

INTERRUPTED = 130
# What Typer raises for wrong arguments: Click's class, or in newer versions its own copy of it.
UsageError: type[BaseException] = typer.BadParameter.__mro__[1]
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, 2),
    (InputError, 2),
    (VerificationError, 3),
    (GenxError, 1),
    (KeyboardInterrupt, INTERRUPTED),
    (typer.Abort, INTERRUPTED),
)


def exit_code(err: BaseException) -> int | None:
    """Return the exit code for a known error, None for one that genx did not foresee.

    0 success, 1 the bundle, model or machine is at fault, 2 an argument is wrong, 3 verification
    failed, 130 interrupted.
    """
    for kind, code in _CODES:
        if isinstance(err, kind):
            return code
    return None


def report_failure(err: BaseException) -> None:
    """Print a known error: one line on stderr, or one JSON object on stdout with `--json`."""
    kind = type(err).__name__
    if isinstance(err, GenxError):
        message, fix = err.message, err.fix
    elif isinstance(err, UsageError):
        message, fix = _explain_usage(cast("typer.BadParameter", err))
    else:
        kind, message, fix = "Interrupted", "interrupted; nothing half written was left", ""
    if not message:  # `genx` alone: the help was shown already
        return
    if current_sink().json:
        error = {"type": kind, "message": message, "fix": fix}
        typer.echo(json.dumps({"error": error}))
    else:
        lines = (f"{message}; {fix}" if fix else message).splitlines()
        echo("error: " + " ".join(filter(None, map(str.strip, lines))), err=True)


def report_lost_output(err: OSError) -> int:
    """Say that what was printed could not be written, to a full disk perhaps; return the exit code.

    What still waits to be written goes nowhere: at the exit it would fail once more.
    """
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    with suppress(OSError):
        typer.echo(f"error: the output cannot be written: {err.strerror or err}", err=True)
    return 1


def _explain_usage(err: typer.BadParameter) -> tuple[str, str]:
    """Return message and fix in one line each, as genx's own errors have them."""
    text = " ".join(err.format_message().split()).removesuffix(".")
    command = err.ctx.command_path if err.ctx else "genx"
    return text[:1].lower() + text[1:], f"see {command} --help"
