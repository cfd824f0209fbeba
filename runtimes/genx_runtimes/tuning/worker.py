"""A candidate's own process: as a benchmark's, but the examination is the golden check alone.

python -m genx_runtimes.tuning.worker < case.json > answer.json
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genx_runtimes.bench.case import Case, Examination
from genx_runtimes.bench.examine import check_golden
from genx_runtimes.bench.worker import Prepared, draw_next, prepare_genx, serve
from genx_runtimes.bundle import open_bundle
from genx_runtimes.session import SessionOptions


@contextmanager
def prepare_candidate(case: Case) -> Iterator[Prepared]:
    """Load a candidate; where it is examined, once, whatever its instances."""
    if not case.examine:
        with prepare_genx(case) as contender:
            yield contender
        return
    bundle = open_bundle(case.bundle)
    options = SessionOptions(threads=case.threads)
    with bundle.sampler(
        backend=case.backend, precision=case.precision, options=options, batch=case.batch
    ) as sampler:

        def check() -> Examination:
            check_golden(bundle, sampler, case.precision)
            return Examination()

        yield Prepared(draw=draw_next(sampler, case), versions={}, examine=check)


if __name__ == "__main__":
    serve(prepare_candidate)
