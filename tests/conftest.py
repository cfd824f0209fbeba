"""What all tests share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

import pytest

from genx_runtimes.bench import tally

# What an export spends its time in, nearly all of it Python that is not genx's.
EXPORTER = (
    ("torch.export", "export"),
    ("torch.onnx", "export"),
    ("onnxscript.optimizer", "optimize"),
)
_P = ParamSpec("_P")
_T = TypeVar("_T")


@pytest.fixture(autouse=True, scope="session")
def _ceilings_once() -> Iterator[None]:
    """Measure what the machine can do once, in processes as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "ask_ceilings", functools.cache(tally.ask_ceilings))
        yield


@pytest.fixture(autouse=True, scope="session")
def _exporter_untraced() -> Iterator[None]:
    """Measure no coverage in PyTorch's exporter, which would take half as long again."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.gettrace() is not None and find_spec("torch"):
            for module, name in EXPORTER:
                found = import_module(module)
                patch.setattr(found, name, _untraced(getattr(found, name)))
        yield


def _untraced(function: Callable[_P, _T]) -> Callable[_P, _T]:
    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(tracer)

    return run
