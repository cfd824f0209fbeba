"""Options that go together, as one parameter: a dataclass, each field of which is an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Any, get_type_hints


def spread_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command as Typer reads it: an option for each field, where the group stands.

    Args:
        command: its annotations are there when it runs; groups have fields with defaults alone.
    """
    parameters: list[Parameter] = []
    groups: dict[str, type] = {}
    # Not get_type_hints of the command: in Python 3.10 it hides an option whose default is None.
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            groups[name] = kind
            own = get_type_hints(kind, include_extras=True)
            parameters += [_make_parameter(f, own[f.name]) for f in fields(kind)]
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**values: Any) -> None:
        made = {
            name: kind(**{f.name: values.pop(f.name) for f in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **made)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _make_parameter(option: Field[Any], kind: object) -> Parameter:
    assert option.default is not MISSING, "what must be given is a parameter of the command"
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=kind)
