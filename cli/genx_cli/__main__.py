"""Entry point of `genx` and of `python -m genx_cli`."""

from __future__ import annotations

import sys

from genx_cli.interrupts import end_on_sigterm, end_process


def main() -> None:
    """Run the command line and end the process."""
    end_on_sigterm()
    try:
        from genx_cli.app import app

        code = app(prog_name="genx", standalone_mode=False)
    except KeyboardInterrupt:  # before a command began; later ones end in the table of errors
        sys.stderr.write("error: interrupted; nothing half written was left\n")
        code = 130
    end_process(code)


if __name__ == "__main__":
    main()
