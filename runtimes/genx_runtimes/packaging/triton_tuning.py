"""What `genx tune` found here of what Triton can do: a variant in onnxruntime on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from genx_runtimes.bundle import Bundle
from genx_runtimes.tuning import Combination, Goal, Tuning, recall

_ENGINE = "onnxruntime"
# Triton is for many requests at once; the shortest call tells at least the threads.
_GOALS: tuple[Goal, ...] = ("throughput", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The fastest way to run a variant in onnxruntime, and the search that found it."""

    combination: Combination
    tuning: Tuning

    @property
    def chosen_batch(self) -> int | None:
        """The batch size that gave the most samples a second; None where one was given."""
        return self.combination.batch if self.tuning.goal == "throughput" else None

    def explain(self) -> str:
        """Say in one line what was measured, and where."""
        found = self.combination
        machine = " ".join(self.tuning.machine.split())
        return f"genx tune on {machine}: {found.name}, batch {found.batch}"

    def list_faster(self) -> list[str]:
        """Say what was faster and is something else."""
        best = self.tuning.best
        if (best.backend, best.variant) == (self.combination.backend, self.combination.variant):
            return []
        return [f"genx tune found {best.name} faster, which is another engine or --precision"]


def recall_measured(bundle: Bundle, variant: str) -> Measured | None:
    """Return what was measured of a variant on this machine; None where it was not.

    That is the one of most samples a second: of searches for throughput, else of those for latency.
    """
    for goal in _GOALS:
        tunings = (*recall(bundle, goal), *recall(bundle, goal, precision=variant))
        found = [
            Measured(combination=combination, tuning=tuning)
            for tuning in tunings
            for combination in tuning.combinations
            if (combination.backend, combination.variant) == (_ENGINE, variant)
            and not combination.failure
            and combination.p50_ms is not None
            and combination.batch
        ]
        if found:
            return max(found, key=_rate)
    return None


def _rate(measured: Measured) -> tuple[float, int]:
    found = measured.combination
    per_second = found.samples_per_s
    if per_second is None:
        assert found.p50_ms is not None
        per_second = 1e3 * found.batch / found.p50_ms
    return per_second, found.batch
