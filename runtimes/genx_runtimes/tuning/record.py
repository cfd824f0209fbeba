"""What a search found: every way that was tried, what it took, and why it was left."""

from __future__ import annotations

import msgspec

from genx_runtimes.errors import BackendUnavailableError
from genx_runtimes.tuning.request import Goal


class Combination(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a bundle.

    Args:
        backend: the engine.
        variant: of the bundle.
        threads: of each session.
        p50_ms: of a call: the median over the final rounds, the shortest of those before for what
            did not come so far; None if it was not measured.
        failure: why it was not, or may not be chosen: it crashed, draws wrong samples, is below the
            floor or above the memory bound; empty if it may.
        instances: sessions that share the work.
        batch: samples a call; 0 if unknown.
        samples_per_s: of all instances.
        peak_bytes: the largest resident set of its process.
        rounds: final rounds that it was in, beside the default.
        faster_in: those in which it was faster than the default.
        gain: the default's cost over its own, the median of the rounds.
        note: where it was left behind.
        is_default: whether it is what runs where nobody asks for anything.
    """

    backend: str
    variant: str
    threads: int
    p50_ms: float | None
    failure: str = ""
    instances: int = 1
    batch: int = 0
    samples_per_s: float | None = None
    peak_bytes: int | None = None
    rounds: int = 0
    faster_in: int = 0
    gain: float | None = None
    note: str = ""
    is_default: bool = False

    @property
    def name(self) -> str:
        """Engine, variant and threads in words."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        if self.instances > 1:
            threads = f"{self.instances} instances of {threads}"
        return f"{self.backend} {self.variant} with {threads}"


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for a bundle on one machine.

    Args:
        digest: of the bundle.
        goal: what was searched.
        batches: samples a call, to choose from.
        machine: CPU, cores and versions.
        precision: the only variant considered; None: all.
        threads: the only thread count considered; None: several.
        min_psnr_db: the quality floor; None: none.
        max_memory: the bound in bytes; None: none.
        budget_s: what it was given, in seconds; what other batch sizes left over not counted.
        spent_s: how long it took, in seconds.
        created: when it ended, ISO 8601 in UTC.
        remembered: whether it was found in the user's cache, and not searched now.
        complete: False where it was interrupted.
        in_time: False where the budget ended before all was tried and clear.
        noisy: whether other programs disturbed most of the measurements.
        combinations: what was chosen first, then by cost, failures last.
    """

    digest: str
    goal: Goal
    batches: tuple[int, ...]
    machine: str
    precision: str | None = None
    threads: int | None = None
    min_psnr_db: float | None = None
    max_memory: int | None = None
    budget_s: float = 0.0
    spent_s: float = 0.0
    created: str = ""
    remembered: bool = False
    complete: bool = True
    in_time: bool = True
    noisy: bool = False
    combinations: tuple[Combination, ...]

    @property
    def has_run(self) -> bool:
        """Whether some engine ran the bundle within the bounds."""
        first = next(iter(self.combinations), None)
        return first is not None and not first.failure and first.p50_ms is not None

    @property
    def best(self) -> Combination:
        """What was chosen.

        Raises:
            BackendUnavailableError: nothing ran within the bounds.
        """
        if not self.has_run:
            failed = [c for c in self.combinations if c.failure]
            reasons = [f"{c.backend} {c.variant}: {c.failure}" for c in failed[:1]]
            raise BackendUnavailableError(
                "no engine ran this bundle within the bounds: " + "; ".join(reasons),
                fix="genx tune shows all reasons, genx doctor what works here",
            )
        return self.combinations[0]

    def explain(self) -> str:
        """Say in one line what was chosen and why."""
        best = self.best
        head = f"{best.name}, {_say_figure(self.goal, best)} at batch {best.batch}"
        if best.is_default:
            text = f"the default, {head}: {self._say_nearest()}"
        else:
            text = f"{head}: {self._say_gain()}"
        return text + "".join(f"; {bound}" for bound in self._list_bounds())

    def _say_nearest(self) -> str:
        """Say what came nearest to the default."""
        others = [c for c in self.combinations[1:] if not c.failure and c.p50_ms is not None]
        nearest = max(others, key=lambda c: c.gain or 0.0, default=None)
        if nearest is None:
            return "nothing else runs here" if self.in_time else "nothing else was measured"
        if nearest.gain is None:
            return "nothing came close" if self.in_time else "there was no time to compare more"
        at = f" at batch {nearest.batch}" if nearest.batch != self.best.batch else ""
        return (
            f"nothing was clearly faster; {nearest.name}{at}: {nearest.gain:.2f} x its speed, "
            f"faster in {nearest.faster_in} of {nearest.rounds} rounds"
        )

    def _say_gain(self) -> str:
        """Say by how much the default is slower."""
        best = self.best
        default = next((c for c in self.combinations if c.is_default), None)
        if default is None or best.gain is None:
            return "the default did not run"
        at = f" at batch {default.batch}" if default.batch != best.batch else ""
        return (
            f"{best.gain:.2f} x as fast as the default, {default.name}{at}, in {best.faster_in} "
            f"of {best.rounds} rounds"
        )

    def _list_bounds(self) -> list[str]:
        bounds = []
        if self.min_psnr_db is not None:
            bounds.append(f"of what keeps {self.min_psnr_db:g} dB")
        if self.max_memory is not None:
            bounds.append(f"of what takes at most {self.max_memory / 1e6:.0f} MB")
        if not self.in_time:
            bounds.append("the budget ended before all was clear")
        if self.remembered:
            bounds.append(f"remembered from {self.created[:10]}")
        return bounds


def _say_figure(goal: Goal, found: Combination) -> str:
    if goal == "throughput" and found.samples_per_s is not None:
        return f"{found.samples_per_s:,.0f} samples a second"
    return f"{found.p50_ms:.3f} ms"
