"""What clients are told of bundles that cannot be loaded."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from genx_runtimes import open_bundle
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.refusals import StoppingError
from genx_runtimes.serve.repository import Repository
from genx_runtimes.serve.settings import ServeSettings


def test_where_a_bundle_lies_is_logged_and_not_told(
    tiny_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = Repository([open_bundle(tiny_copy)], ServeSettings(), Metrics())
    tiny_copy.rename(tiny_copy.with_name("moved"))

    async def ask() -> None:
        await repository.get("tiny")

    with caplog.at_level(logging.ERROR, "genx.serve"), pytest.raises(StoppingError) as caught:
        asyncio.run(ask())
    assert str(tiny_copy) in caplog.text
    for told in (str(caught.value), repository.find("tiny").reason):
        assert "tiny.genx" in told
        assert str(tiny_copy.parent) not in told
