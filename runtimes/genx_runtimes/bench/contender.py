"""What is measured: one way to run one bundle."""

from __future__ import annotations

from dataclasses import dataclass

from genx_runtimes.backends import BACKENDS, find_backend, runs_on_cpu
from genx_runtimes.bundle import Bundle

GENX = "genx_runtimes.bench.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something to measure.

    Args:
        bundle: what is sampled from; priors and output contract come from there for all.
        name: in the report.
        module: run as `python -m MODULE`; answers a `Case`.
        variant: of the bundle; None takes the first.
        backend: the engine; for PyTorch "torch".
        source: the original model, for PyTorch.
        threads: engine threads; None takes those of the options.
        instances: sessions that share the work of scenario `offline`.
        batches: the only batch sizes that it takes part at; None takes all.
    """

    bundle: Bundle
    name: str
    module: str = GENX
    variant: str | None = None
    backend: str = ""
    source: str = ""
    threads: int | None = None
    instances: int = 1
    batches: tuple[int, ...] | None = None

    @property
    def runs_on_cpu(self) -> bool:
        """Whether it computes on the CPU, as PyTorch does here."""
        known = {backend.name for backend in BACKENDS}
        is_genx = self.backend.partition(":")[0] in known
        return runs_on_cpu(self.backend) if is_genx else self.backend == "torch"


def genx_contender(
    bundle: Bundle,
    backend: str,
    variant: str | None,
    *,
    threads: int | None = None,
    instances: int = 1,
) -> Contender:
    """Return the contender that is genx itself.

    Args:
        bundle: what is sampled from.
        backend: NAME or NAME:DEVICE.
        variant: of the bundle; None takes the first.
        threads: engine threads; None takes those of the options.
        instances: of scenario `offline`.

    Raises:
        InputError: unknown backend, device or variant.
    """
    find_backend(backend)
    found = bundle.variant(variant).name
    return Contender(
        bundle=bundle,
        name=f"{backend} {found}",
        backend=backend,
        variant=found,
        threads=threads,
        instances=instances,
    )
