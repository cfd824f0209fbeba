"""The one table of errors: exit codes, and how each is told."""

from __future__ import annotations

import json

import typer

from genx_cli.sink import current_sink
from genx_runtimes.errors import GenxError, InputError, VerificationError

INTERRUPTED = 130
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (InputError, 2),
    (VerificationError, 3),
    (GenxError, 1),
    (KeyboardInterrupt, INTERRUPTED),
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
    if isinstance(err, GenxError):
        kind, message, fix = type(err).__name__, err.message, err.fix
    else:
        kind, message, fix = "Interrupted", "interrupted; nothing half written was left", ""
    if current_sink().json:
        error = {"type": kind, "message": message, "fix": fix}
        typer.echo(json.dumps({"error": error}))
    else:
        typer.echo(f"error: {message}" + (f"; {fix}" if fix else ""), err=True)
