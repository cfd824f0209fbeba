"""Before the timing: are the samples right, and where does the time of a call go?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from genx_runtimes.bench.case import Examination
from genx_runtimes.bench.figures import Parts
from genx_runtimes.bench.metered import meter
from genx_runtimes.latents import LatentSource
from genx_runtimes.sampler import Batch, Sampler
from genx_runtimes.samplers.loop import Draw

if TYPE_CHECKING:
    from genx_runtimes.bundle import Bundle

_SECONDS = 1.0
_MIN_CALLS = 3
_MAX_CALLS = 200


def check_golden(bundle: Bundle, sampler: Sampler, precision: str | None) -> None:
    """Compare the latents, the loaded graphs and the sampling loop with the golden samples.

    Raises:
        VerificationError: one is beyond what the variant states.
    """
    from genx_runtimes.verify import verify_sampler

    verify_sampler(bundle, sampler, bundle.variant(precision), "what was loaded").require()


def examine(sampler: Sampler, batch: int, *, seed: int) -> Examination:
    """Time the parts of a call, over a second, three calls at least and 200 at most.

    Args:
        sampler: loaded.
        batch: samples a call.
        seed: of the latents.
    """
    timed, sessions = meter(sampler)
    latents = LatentSource(sampler.manifest.priors, seed)
    rows: list[tuple[int, ...]] = []
    began = time.perf_counter_ns()
    for index in range(_MAX_CALLS):
        indices = range(index * batch, (index + 1) * batch)
        spent = sum(session.spent_ns for session in sessions.values())
        start = time.perf_counter_ns()
        feeds = latents.draw(indices)
        drawn = time.perf_counter_ns()
        (made,) = timed.decode([Draw(seed=seed, indices=indices, feeds=feeds)])
        decoded = time.perf_counter_ns()
        mapped = _map(made)
        shown = time.perf_counter_ns()
        _encode(made, mapped)
        written = time.perf_counter_ns()
        engine = sum(session.spent_ns for session in sessions.values()) - spent
        rows.append(
            (
                drawn - start,
                engine,
                decoded - drawn - engine,
                shown - decoded,
                written - shown,
                decoded - drawn,
            )
        )
        if len(rows) >= _MIN_CALLS and written - began > _SECONDS * 1e9:
            break
    # The first call may compile.
    medians = np.median(np.asarray(rows[1:] or rows, dtype=np.float64), axis=0) / 1e6
    calls = {name: round(session.calls / len(rows)) for name, session in sessions.items()}
    steps = max(calls.values())
    return Examination(
        parts=Parts(
            latents_ms=float(medians[0]),
            engine_ms=float(medians[1]),
            device_ms=None,
            host_ms=float(medians[2]),
            pixels_ms=float(medians[3]),
            encoding_ms=float(medians[4]),
        ),
        steps=steps,
        step_ms=float(medians[5]) / steps if steps > 1 else None,
        engine_calls=calls,
    )


def _map(batch: Batch) -> object:
    if batch.spec.kind == "image":
        return batch.images()
    if batch.spec.kind == "text":
        return batch.texts()
    return batch.waves() if batch.spec.kind == "audio" else batch.output


def _encode(batch: Batch, mapped: object) -> object:
    """Make what a file of each sample holds, in memory."""
    if batch.spec.kind == "image":
        from genx_runtimes.png import encode_png

        return [encode_png(image) for image in mapped]  # type: ignore[attr-defined]
    if batch.spec.kind == "text":
        return [text.encode() for text in mapped]  # type: ignore[attr-defined]
    return np.ascontiguousarray(mapped).tobytes()
