"""Options that are declared once, as the fields of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from genx_cli.app import COMMANDS, app
from genx_cli.option_groups import spread_groups

Size = Annotated[int | None, typer.Option("--size", "-s", help="How large.")]
Coats = Annotated[int | None, typer.Option("--coats", "-c", help="How often.")]


@dataclass(frozen=True, kw_only=True)
class Group:
    size: Size = None
    colour: Annotated[str, typer.Option(help="Which.")] = "red"


def paint(
    what: Annotated[str, typer.Argument()],
    coats: Coats = None,
    *,
    group: Group,
    last: bool = False,
) -> None:
    """Paint it."""
    typer.echo(f"{what} {coats} {group} {last}")


def run(*arguments: str) -> str:
    painter = typer.Typer()
    painter.command()(spread_groups(paint))
    done = CliRunner().invoke(painter, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_each_field_is_an_option_and_the_command_gets_the_group() -> None:
    assert run("door") == "door None Group(size=None, colour='red') False\n"
    made = run("door", "-c", "2", "-s", "3", "--colour", "blue", "--last")
    assert made == "door 2 Group(size=3, colour='blue') True\n"


def test_the_help_has_them_where_the_group_stands() -> None:
    shown = run("--help")
    assert "Paint it." in shown
    places = [shown.index(name) for name in ("--coats", "--size", "--colour", "--last")]
    assert places == sorted(places)
    assert "How large." in shown


def test_commands_that_run_a_bundle_take_the_same_options() -> None:
    group = ("--backend", "--precision", "--threads", "--allow-fallback")
    for command in ("verify", "sample", "translate", "encode", "reconstruct", "traverse"):
        assert command in COMMANDS
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert all(name in shown for name in group), command
