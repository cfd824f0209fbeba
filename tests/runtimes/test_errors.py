from __future__ import annotations

import re

from genx_runtimes import errors
from genx_runtimes.errors import GenxError, InputError, suggest


def test_message_and_fix_are_one_line() -> None:
    assert str(InputError("n is 0", fix="-n 1")) == "n is 0; -n 1"
    assert str(InputError("n is 0")) == "n is 0"
    assert InputError("n is 0", fix="-n 1").fix == "-n 1"


def test_suggestions() -> None:
    assert suggest("lable", ["label", "z"]) == "did you mean 'label'?"
    assert suggest("qqq", ["label", "z"]) == "there is: label, z"
    assert suggest("qqq", []) == "there is none"


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"\b(\w+Error)\b", errors.__doc__.split("Each message")[0]))
    real = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, GenxError)
    }
    assert drawn == real
