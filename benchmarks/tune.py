"""Whether `genx tune` keeps what it promises: never worse than the default, and more throughput.

    python benchmarks/tune.py
    python benchmarks/tune.py --only dcgan --precision fp32 --rounds 15

Each sample is exported with fp32 and int8 and tuned, nothing remembered. Then what was chosen and
the default session run in turn, each in a process of its own; the median of the rounds' ratios
counts. Exit code 1 where the chosen one takes more than 1.02 x the default's time (latency), or
where on the DCGAN sample it draws fewer than 1.15 x the samples a second, unless the table of all
ways, measured again, shows that no more is there. Needs the extra `openvino`; run it on a quiet
machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.tuning import Combination, Goal, Request, Tuning, choose_sizes, search
from genx_runtimes.tuning.candidates import Candidate, list_first, list_variations
from genx_runtimes.tuning.trial import Effort, measure_once

SAMPLES = Path(__file__).parents[1] / "samples"
MODELS = ("dcgan", "infogan", "vae")
MOST_TIME, LEAST_THROUGHPUT = 1.02, 1.15
PROMISED = "dcgan"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MODELS, action="append", help="a sample; may be repeated")
    parser.add_argument(
        "--bundles", type=Path, help="folder of NAME.genx; they are made if missing"
    )
    parser.add_argument("--precision", help="the only variant; all if not given")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each search")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="timed, of each process")
    args = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.bundles or Path(temporary)
        for model in args.only or MODELS:
            bundle = open_bundle(make_bundle(model, folder))
            for batch in choose_sizes(None, bundle.manifest.batch, "latency"):
                tuning = run_search(bundle, "latency", (batch,), args)
                ratio = 1 / compare(bundle, tuning, args)
                kept &= tell(ratio <= MOST_TIME, f"{model}, batch {batch}: {ratio:.3f} x the time")
            sizes = choose_sizes(None, bundle.manifest.batch, "throughput")
            tuning = run_search(bundle, "throughput", sizes, args)
            gain = compare(bundle, tuning, args)
            text = f"{model}: {gain:.2f} x the samples a second"
            if model != PROMISED or gain >= LEAST_THROUGHPUT:
                kept &= tell(gain >= 1 / MOST_TIME, text)
            else:
                kept &= tell(not is_there(bundle, tuning, args), f"{text}, and no more is there")
    return 0 if kept else 1


def make_bundle(model: str, folder: Path) -> Path:
    path = folder / f"{model}.genx"
    if not path.exists():
        genx = str(Path(sys.executable).with_name("genx"))
        command = [genx, "export", str(SAMPLES / model), "-o", str(path), "-q"]
        subprocess.run([*command, "--precision", "fp32,int8"], check=True)
    return path


def run_search(
    bundle: Bundle, goal: Goal, batches: tuple[int, ...], args: argparse.Namespace
) -> Tuning:
    tuning = search(bundle, make_request(goal, batches, args))
    noisy = "  (other programs disturbed it)" if tuning.noisy else ""
    print(f"{bundle.manifest.name}, {goal}: {tuning.explain()}; {tuning.spent_s:.0f} s{noisy}")
    return tuning


def compare(bundle: Bundle, tuning: Tuning, args: argparse.Namespace) -> float:
    """Return how many times as fast as the default the choice is; 1 where it is the default."""
    if tuning.best.is_default:
        return 1.0
    found = next(found for found in tuning.combinations if found.is_default)
    ways = [to_candidate(found), to_candidate(tuning.best)]
    default, chosen = measure(bundle, tuning.goal, ways, args, rounds=args.rounds)
    ratios = [a / b for a, b in zip(default, chosen, strict=True)]
    print(f"  each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)} x as fast")
    return statistics.median(ratios)


def is_there(bundle: Bundle, tuning: Tuning, args: argparse.Namespace) -> bool:
    """Measure all ways, show them, and say whether one has the gain."""
    request = make_request("throughput", tuning.batches, args)
    ways = list_first(bundle, request)
    for vary in list_variations(request):
        ways += [varied for way in ways for varied in vary(way)]
    costs = measure(bundle, "throughput", ways, args, rounds=3)
    print(f"  {'way':52} {'samples/s':>10} {'vs default':>10}")
    gains = []
    for way, taken in zip(ways, costs, strict=True):
        gains.append(statistics.median(a / b for a, b in zip(costs[0], taken, strict=True)))
        rate = 1e3 / statistics.median(taken)
        print(f"  {way.name:52} {rate:10,.0f} {gains[-1]:8.2f} x")
    return max(gains) >= LEAST_THROUGHPUT


def measure(
    bundle: Bundle,
    goal: Goal,
    ways: Sequence[Candidate],
    args: argparse.Namespace,
    *,
    rounds: int,
) -> list[list[float]]:
    """Return the cost of each way in each round: ms of a call, or ms a sample."""
    effort = Effort(seconds=args.seconds, warm_up_s=1.0, grace_s=120.0)
    costs: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds):
        for at in range(len(ways)):
            index = (at + turn) % len(ways)  # nobody always runs after the same
            row = measure_once(bundle, ways[index], goal, effort)
            if row.latency is None or row.samples_per_s is None:
                sys.exit(f"{ways[index].name}: {'; '.join(row.reasons)}")
            latency = goal == "latency"
            costs[index].append(row.latency.p50_ms if latency else 1e3 / row.samples_per_s)
    return costs


def to_candidate(found: Combination) -> Candidate:
    return Candidate(
        backend=found.backend,
        variant=found.variant,
        threads=found.threads,
        instances=found.instances,
        batch=found.batch,
    )


def make_request(goal: Goal, batches: tuple[int, ...], args: argparse.Namespace) -> Request:
    return Request(goal=goal, batches=batches, precision=args.precision, budget_s=args.budget)


def tell(is_met: bool, text: str) -> bool:
    print(f"{'met   ' if is_met else 'MISSED'}  {text}", flush=True)
    return is_met


if __name__ == "__main__":
    sys.exit(main())
