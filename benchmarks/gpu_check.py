"""Engines on this machine's GPU: correctness and latency, with and without CUDA graphs.

    python benchmarks/gpu_check.py [BUNDLE...] [--torch samples/dcgan] [--rounds 3]

Contenders are TensorRT and TensorRT-RTX, each with and without CUDA graphs, onnxruntime on CUDA and
on the CPU, and with --torch PyTorch on CUDA; what is not installed says so in the table. Each loads
the bundle in a process of its own, is verified against the golden samples, and is timed in turn
over several rounds: host time of a call with fresh latents, from arrays to arrays. Exit code 1 if a
contender that runs does not draw what the model drew. Not yet run on a GPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genx_runtimes.bench.measure import warm_up
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import VerificationError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import Manifest
from genx_runtimes.session import SessionOptions
from genx_runtimes.verify import verify_bundle

DATA = Path(__file__).parents[1] / "tests" / "data"
BATCHES = (1, 8)
TIMEOUT_S = 600.0
SECONDS = 2.0
TORCH = "pytorch cuda"


class Contender(NamedTuple):
    """An engine, and whether it replays CUDA graphs."""

    backend: str
    graphs: bool = True

    def __str__(self) -> str:
        return self.backend + ("" if self.graphs else ", no CUDA graphs")


CONTENDERS = (
    Contender("tensorrt"),
    Contender("tensorrt", graphs=False),
    Contender("tensorrt-rtx"),
    Contender("tensorrt-rtx", graphs=False),
    Contender("onnxruntime:cuda"),
    Contender("onnxruntime"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", type=Path, default=[DATA / "tiny.genx"])
    parser.add_argument("--torch", metavar="SOURCE", help="the model that the bundles came from")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker)
        return 0
    wrong = False
    for bundle in args.bundles:
        for variant in open_bundle(bundle).manifest.variants:
            wrong = compare(bundle, variant.name, args) or wrong
    return int(wrong)


def compare(bundle: Path, variant: str, args: argparse.Namespace) -> bool:
    """Print the table of a variant; return whether some contender drew something else."""
    contenders = [*CONTENDERS, *([Contender(TORCH)] if args.torch else [])]
    answers: dict[tuple[Contender, int], list[dict[str, object]]] = {}
    for _, contender, batch in itertools.product(range(args.rounds), contenders, BATCHES):
        given = [str(bundle), variant, contender.backend, str(int(contender.graphs)), str(batch)]
        answers.setdefault((contender, batch), []).append(ask(given, args.torch))
    print(f"\n{bundle.stem} {variant}: median ms of a call, max error against the golden samples")
    print(f"  {'':<34}" + "".join(f"{f'batch {b}':>12}" for b in BATCHES) + f"{'error':>12}")
    wrong = False
    for contender in contenders:
        cells = [join(answers[contender, batch]) for batch in BATCHES]
        last = answers[contender, BATCHES[-1]][-1]
        error = last.get("error")
        wrong = wrong or any(
            answer.get("passed") is False
            for batch in BATCHES
            for answer in answers[contender, batch]
        )
        text = "" if error is None else f"{error:.1e}"
        failure = str(last.get("failure", ""))
        print(
            f"  {contender!s:<34}" + "".join(f"{c:>12}" for c in cells) + f"{text:>12}  {failure}"
        )
    return wrong


def join(answers: list[dict[str, object]]) -> str:
    """Return the median of all rounds in ms."""
    times = [t for answer in answers for t in answer.get("ns", [])]  # type: ignore[attr-defined]
    return f"{statistics.median(times) / 1e6:.3f}" if times else "-"


def ask(given: list[str], source: str | None) -> dict[str, object]:
    """Let a process of its own answer; a failure is its last line."""
    command = [sys.executable, __file__, "--worker", *given]
    if source:
        command += ["--torch", source]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"gave no answer within {TIMEOUT_S:g} s"}
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or [""]
    if done.returncode:
        return {"failure": lines[-1][:100]}
    return dict(json.loads(lines[-1]))


def work(bundle: str, variant: str, backend: str, graphs: str, batch: str) -> None:
    """Verify and time one contender; print the answer as JSON."""
    opened, size = open_bundle(bundle), int(batch)
    latents = LatentSource(opened.manifest.priors, 0)
    starts = itertools.count(0, size)

    def draw() -> dict[str, np.ndarray]:
        first = next(starts)
        return latents.draw(range(first, first + size))

    if backend == TORCH:
        source = sys.argv[sys.argv.index("--torch") + 1]
        answer: dict[str, object] = {"ns": time_calls(prepare_torch(source, opened.manifest), draw)}
    else:
        answer = time_engine(opened, variant, Contender(backend, graphs == "1"), size, draw)
    print(json.dumps(answer))


def time_engine(
    opened: Bundle,
    variant: str,
    contender: Contender,
    size: int,
    draw: Callable[[], dict[str, np.ndarray]],
) -> dict[str, object]:
    """Verify and time an engine; what draws something else is not timed."""
    backend, options = contender.backend, SessionOptions(cuda_graphs=contender.graphs)
    try:
        report = verify_bundle(opened, backend=backend, precision=variant, options=options)
    except VerificationError as err:  # an engine is verified as it is built
        return {"passed": False, "failure": str(err)[:100]}
    component = opened.manifest.sampler.component
    with opened.session(
        component, backend=backend, precision=variant, options=options, batch=size
    ) as session:
        times = time_calls(session.run, draw)
    return {"ns": times, "error": report.max_error, "passed": report.passed}


def time_calls(
    call: Callable[[dict[str, np.ndarray]], object], draw: Callable[[], dict[str, np.ndarray]]
) -> list[int]:
    """Return the time of each call in ns; drawing is not counted."""
    warm_up(lambda: call(draw()), limit_s=SECONDS)
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        feeds = draw()
        start = time.perf_counter_ns()
        call(feeds)
        times.append(time.perf_counter_ns() - start)
    return times


def prepare_torch(
    source: str, manifest: Manifest, device: str = "cuda"
) -> Callable[[dict[str, np.ndarray]], object]:
    """Return the original model on the GPU, from arrays to arrays."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # float32, as the engines

    from genx_export.sources import SourceRequest, load_source
    from genx_export.torch_component import ModuleComponent

    request = SourceRequest(family=manifest.family, priors=manifest.priors, output=manifest.output)
    sampled = manifest.sampler.component
    component = next(c for c in load_source(source, request).components if c.name == sampled)
    assert isinstance(component, ModuleComponent), "the source is no torch model"
    module = component.module.to(device)

    def call(feeds: dict[str, np.ndarray]) -> object:
        with torch.inference_mode():
            given = {name: torch.from_numpy(array).to(device) for name, array in feeds.items()}
            return module(**given).cpu().numpy()

    return call


if __name__ == "__main__":
    sys.exit(main())
