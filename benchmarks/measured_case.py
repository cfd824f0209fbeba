"""What a contender is asked and answers, and how its speed and its accuracy are measured.

A call takes fixed feeds and ends when the output is there. Accuracy is the PSNR of fresh samples,
which no calibration has seen, against those of PyTorch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genx_runtimes.bench.measure import time_calls, warm_up
from genx_runtimes.bundle import Bundle
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import UniformPrior
from genx_runtimes.session import Array
from genx_runtimes.verify import measure_error, measure_range

WARM_UP_S = 5.0
MAX_PSNR_DB = 200.0  # JSON has no infinity
SAMPLES = 64
TIMED_SEED, CALIBRATION_SEED, FRESH_SEED = 0, 1, 2
Feeds = dict[str, Array]
Run = Callable[[Feeds], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is asked of a contender.

    Args:
        contender: a name in `contenders.CONTENDERS`.
        action: a name in `ACTIONS`.
        bundle: path of the bundle; priors and graphs come from there for all contenders.
        source: the original model, as for `genx export`.
        weights: its weights; empty where the source has its own.
        cache: folder of what is made once: quantised models and reference samples.
        images: folder of the images that the model's only input takes; empty: it has a prior.
        batch: samples a call.
        seconds: how long to time.
    """

    contender: str
    action: str
    bundle: str
    source: str
    weights: str
    cache: str
    images: str
    batch: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was measured: nanoseconds of each call, or the PSNR of each sample in dB."""

    latencies_ns: list[int] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)


def take_time(case: Case, bundle: Bundle, run: Run) -> Answer:
    """Make the same call again and again, once its latencies have settled."""
    feeds = draw(case, bundle, TIMED_SEED, range(case.batch))
    run(feeds)  # compiles, for some
    warm_up(lambda: run(feeds), limit_s=WARM_UP_S)
    return Answer(latencies_ns=time_calls(lambda: run(feeds), seconds=case.seconds))


def make_reference(case: Case, bundle: Bundle, run: Run) -> Answer:
    """Write this contender's fresh samples as those that others are compared with."""

    def write(path: Path) -> None:
        with path.open("wb") as out:
            np.save(out, _run_fresh(case, bundle, run))

    make_once(_find_reference(case, bundle), write)
    return Answer()


def check(case: Case, bundle: Bundle, run: Run) -> Answer:
    """Compare fresh samples with the reference, one by one, over the range of the output."""
    expected = np.load(_find_reference(case, bundle))
    scale = measure_range(expected, bundle.manifest.output.range)
    pairs = zip(_run_fresh(case, bundle, run), expected, strict=True)
    psnrs = [measure_error(got, wanted, scale)[1] for got, wanted in pairs]
    return Answer(psnr_db=np.clip(psnrs, 0.0, MAX_PSNR_DB).tolist())


def draw(case: Case, bundle: Bundle, seed: int, indices: range) -> Feeds:
    """Return what a call is fed with: latents, or images, which differ from seed to seed."""
    if not case.images:
        return LatentSource(bundle.manifest.priors, seed).draw(indices)
    from PIL import Image

    (prior,) = bundle.manifest.priors
    assert isinstance(prior, UniformPrior)
    pixels = []
    for index in indices:
        with Image.open(Path(case.images) / str(seed) / f"{index}.png") as image:
            pixels.append(np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1))
    scale = np.float32((prior.high - prior.low) / 255)
    return {prior.name: np.stack(pixels) * scale + np.float32(prior.low)}


def draw_calibration(case: Case, bundle: Bundle) -> Iterator[Feeds]:
    """Return the samples that both INT8 peers are calibrated with, one by one."""
    return (draw(case, bundle, CALIBRATION_SEED, range(i, i + 1)) for i in range(SAMPLES))


def read_graph(bundle: Bundle, variant: str) -> bytes:
    """Return the ONNX file of the component that samples are drawn from."""
    return bundle.read_graph(bundle.manifest.sampler.component, variant)


def name_derived(case: Case, bundle: Bundle, ending: str) -> Path:
    """Return where in the cache something lies that follows from the fp32 graph and its inputs."""
    inputs = b"images" if case.images else b""
    digest = hashlib.sha256(read_graph(bundle, "fp32") + inputs).hexdigest()[:16]
    return Path(case.cache) / f"{bundle.manifest.name}-{digest}-{ending}"


def make_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Make a file unless it is there; half a file never is."""
    if not path.is_file():
        unfinished = path.with_stem(f"unfinished-{os.getpid()}-{path.stem}")
        make(unfinished)
        unfinished.replace(path)
    return path


def _find_reference(case: Case, bundle: Bundle) -> Path:
    return name_derived(case, bundle, "reference.npy")


def _run_fresh(case: Case, bundle: Bundle, run: Run) -> Array:
    parts = (range(i, i + case.batch) for i in range(0, SAMPLES, case.batch))
    # An engine may write its next output over this one.
    return np.concatenate([run(draw(case, bundle, FRESH_SEED, part)).copy() for part in parts])


ACTIONS: dict[str, Callable[[Case, Bundle, Run], Answer]] = {
    "time": take_time,
    "check": check,
    "reference": make_reference,
}
