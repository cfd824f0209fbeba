from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genx_runtimes.bench.case import Case
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import VerificationError
from genx_runtimes.tuning.candidates import Candidate
from genx_runtimes.tuning.trial import Effort, measure_once
from genx_runtimes.tuning.worker import prepare_candidate


def ask(bundle: Path, backend: str, *, examine: bool) -> Case:
    return Case(
        bundle=str(bundle),
        precision=None,
        backend=backend,
        source="",
        batch=2,
        threads=1,
        seed=0,
        start=0,
        seconds=0.01,
        warm_up_s=0.01,
        instances=2,
        examine=examine,
    )


def test_the_examination_is_the_golden_check_and_nothing_else(tiny_bundle: Path) -> None:
    with prepare_candidate(ask(tiny_bundle, "onnxruntime", examine=True)) as contender:
        assert contender.examine().parts is None
    wrong = ask(tiny_bundle, "null", examine=True)
    with prepare_candidate(wrong) as contender, pytest.raises(VerificationError):
        contender.examine()


def test_the_rest_is_as_in_a_benchmark(tiny_bundle: Path) -> None:
    with prepare_candidate(ask(tiny_bundle, "onnxruntime", examine=False)) as contender:
        assert len(contender.streams) == 2


def test_one_measurement_for_real(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    effort = Effort(seconds=0.02, warm_up_s=0.05, grace_s=60.0, examine=True)
    way = Candidate(backend="onnxruntime", variant="fp32", threads=1, instances=2, batch=2)
    row = measure_once(bundle, way, "throughput", effort)
    assert (row.scenario, row.instances, row.threads, row.batch) == ("offline", 2, 1, 2)
    assert row.samples_per_s is not None
    bad = measure_once(bundle, replace(way, backend="null"), "latency", effort)
    assert bad.latency is None
    assert "is off by" in bad.reasons[0]
