"""A model that grows by a graph that was asked for says so, whoever still waits for that graph."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import numpy as np
import pytest
from tests.serve.conftest import DATA

from genx_runtimes import open_bundle
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.model import load
from genx_runtimes.serve.refusals import DeadlineError
from genx_runtimes.serve.settings import ServeSettings
from genx_runtimes.session import Array

ENCODER = "tiny_vae.genx"
LOADING_S = 0.3


def test_a_graph_that_comes_too_late_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Instance.run

    def run(self: Instance, component: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        time.sleep(LOADING_S)
        return known(self, component, feeds)

    monkeypatch.setattr(Instance, "run", run)

    async def main() -> None:
        bundle = open_bundle(DATA / ENCODER)
        model = await load(bundle, ServeSettings(threads=1), Metrics())
        told: list[int] = []
        model.grown = lambda: told.append(model.held_bytes)
        before = model.held_bytes
        (spec,) = bundle.manifest.component("encoder").inputs
        feeds = {spec.name: np.zeros((1, *spec.shape[1:]), np.float32)}
        now = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineError):
            await model.run("encoder", feeds, deadline=now + LOADING_S / 3)
        assert told == []
        while not told and asyncio.get_running_loop().time() < now + 60:
            await asyncio.sleep(0.01)
        await model.run("encoder", feeds, deadline=now + 60)
        assert told == [model.held_bytes]
        assert model.held_bytes > before
        await model.close()

    asyncio.run(main())
