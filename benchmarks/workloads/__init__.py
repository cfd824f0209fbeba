"""The registry of workloads: what the benchmarks draw samples from.

A new workload is one entry in `WORKLOADS`; where it is no trained model, also a module in
`models.py` and, if no method in `fit.py` suits, one there. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["WORKLOADS", "Workload"]

SAMPLES = Path(__file__).parents[2] / "samples"
MODELS = Path(__file__).parent / "models.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A generator and the batch sizes to run it at.

    Args:
        name: on the command line and in the tables.
        source: as for `genx export`.
        batches: samples a call.
        priors: as for `genx export`; none where the source has its own.
        output: as for `genx export`; None where the source has its own.
        method: a name in `fit.METHODS`; empty where the source has trained weights.
        fit_s: seconds of fitting.
        images: whether the input takes images, which are cut out of photographs.
        compares_forms: whether fp32 is measured in its native and in its rewritten form.
    """

    name: str
    source: str
    batches: tuple[int, ...]
    priors: tuple[str, ...] = ()
    output: str | None = None
    method: str = ""
    fit_s: float = 0.0
    images: bool = False
    compares_forms: bool = False


WORKLOADS = (
    Workload(
        name="dcgan64",
        source=f"{MODELS}:Dcgan64",
        batches=(1, 8),
        priors=("z=normal:100x1x1",),
        output="image:-1..1",
        method="photo-latents",
        fit_s=50.0,
    ),
    Workload(
        name="k5_28",
        source=f"{MODELS}:Kernel5",
        batches=(1, 8),
        priors=("z=normal:64",),
        output="image:-1..1",
        method="digit-latents",
        fit_s=30.0,
    ),
    Workload(
        name="kl_decoder",
        source=f"{MODELS}:KlDecoder",
        batches=(1,),
        priors=("z=normal:4x32x32",),
        output="image:-1..1",
        method="decoding",
        fit_s=55.0,
        compares_forms=True,
    ),
    Workload(
        name="residual_256",
        source=f"{MODELS}:Residual256",
        batches=(1,),
        images=True,
        priors=("image=uniform:3x256x256:-1..1",),
        output="translated=image:-1..1",
        method="denoising",
        fit_s=55.0,
    ),
    Workload(name="dcgan", source=str(SAMPLES / "dcgan"), batches=(1, 16)),
    Workload(name="infogan", source=str(SAMPLES / "infogan"), batches=(1, 16)),
    Workload(name="vae", source=str(SAMPLES / "vae"), batches=(1, 16)),
)
