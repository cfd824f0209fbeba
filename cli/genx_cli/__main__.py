"""Entry point of `genx` and of `python -m genx_cli`."""

from __future__ import annotations

from genx_cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="genx")


if __name__ == "__main__":
    main()
