"""What all tests share."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from genx_runtimes.bench import tally


@pytest.fixture(autouse=True, scope="session")
def _ceilings_once() -> Iterator[None]:
    """Measure what the machine can do once, in processes as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "ask_ceilings", functools.cache(tally.ask_ceilings))
        yield
