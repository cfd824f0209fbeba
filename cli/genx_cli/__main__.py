"""Entry point of `genx` and of `python -m genx_cli`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line. Told to end (SIGTERM), it leaves nothing half written, as on Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        from genx_cli.app import app
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    app(prog_name="genx")


if __name__ == "__main__":
    main()
