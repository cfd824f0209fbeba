"""Entry point of `genx` and of `python -m genx_cli`."""

from __future__ import annotations

import sys

from genx_cli.interrupts import end_on_sigterm


def main() -> None:
    """Run the command line."""
    end_on_sigterm()
    try:
        from genx_cli.app import app

        app(prog_name="genx")
    except KeyboardInterrupt:  # before a command began; later ones end in the table of errors
        sys.stderr.write("error: interrupted; nothing half written was left\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
