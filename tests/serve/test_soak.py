"""The small form of `benchmarks/serve_soak.py`."""

from __future__ import annotations

from benchmarks.serve_soak import MAX_GROWTH, soak
from tests.serve.conftest import TINY, Start

from genx_runtimes import open_bundle


def test_good_malformed_and_aborted_requests(serve: Start) -> None:
    server = serve(TINY)
    soak(server.netloc, open_bundle(TINY), 200, seed=1)  # a new process still grows
    found = soak(server.netloc, open_bundle(TINY), 500)
    assert found.wrong == []
    assert found.counts["good"] > 450
    assert min(found.counts.values()) >= 1
    assert found.counts.total() == 500
    assert found.growth <= MAX_GROWTH
    assert server.metric("genx_requests_in_progress") == 1  # the one that asks
    assert server.metric('genx_queue_samples{model="tiny"}') == 0
    assert not any("traceback" in record for record in server.records())
