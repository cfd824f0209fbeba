"""genx against what one would use without it: PyTorch, onnxruntime, OpenVINO, and their INT8.

    python benchmarks/peers.py
    python benchmarks/peers.py --only dcgan64 --rounds 3 --json peers.json

Each workload (`workloads/`) is exported to a bundle. Every contender (`contenders.py`) loads it in
a process of its own and is fed the same latents at the same batch size; contenders take turns over
several rounds, and the latencies of all rounds are pooled. INT8 and genx are also compared with
PyTorch on 64 fresh samples. Weights are fitted in the first run and kept in the cache. Exit code 1
if a bar (`peer_bars.py`) is missed.

Needs `pip install nncf scikit-learn pillow openvino`; a contender that cannot run says why.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from measured_case import CALIBRATION_SEED, FRESH_SEED, SAMPLES, TIMED_SEED, Answer, Case
from peer_bars import FORMS, FP32_PEERS, GENX, INT8_PEERS, Row, judge
from workloads import WORKLOADS, Workload
from workloads.fit import fit_workload, write_images

from genx_export import QuantisationRecipe, export
from genx_runtimes.child import run_child
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import GenxError
from genx_runtimes.processor import read_cpu_model

CONTENDERS = Path(__file__).with_name("contenders.py")
CACHE = Path(__file__).parents[1] / "demo" / "peers"
REFERENCE = "pytorch eager"
TIMEOUT_S = 900.0
MIN_PSNR_DB = 35.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Tally:
    """What has been measured of one contender at one batch size."""

    latencies_ns: list[int] = dataclasses.field(default_factory=list)
    psnr_db: list[float] = dataclasses.field(default_factory=list)
    failure: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--only", action="append", choices=names, help="may be given repeatedly")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="timed, of each case and round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR")
    args = parser.parse_args()
    print(f"{read_cpu_model()}, {count_usable_cores()} threads, {args.rounds} rounds")
    rows: list[Row] = []
    for workload in WORKLOADS:
        if args.only and workload.name not in args.only:
            continue
        measured = measure_workload(workload, args)
        for batch in workload.batches:
            print_table([row for row in measured if row.batch == batch])
        rows += measured
    bars = judge(rows)
    print()
    for bar in bars:
        print(f"{'met   ' if bar.met else 'MISSED'}  {bar.text}")
    if args.json:
        args.json.write_bytes(msgspec.json.encode({"rows": rows, "bars": bars}) + b"\n")
    return 0 if all(bar.met for bar in bars) else 1


def measure_workload(workload: Workload, args: argparse.Namespace) -> list[Row]:
    """Fit, export, compare and time one workload; a row for each contender and batch size."""
    contenders = [*FP32_PEERS, *INT8_PEERS, GENX, *(FORMS if workload.compares_forms else ())]
    tallies = {(batch, name): Tally() for batch in workload.batches for name in contenders}
    cache = args.cache.absolute()
    weights = fit_workload(workload, cache)
    try:
        case = make_case(workload, weights, cache, args.seconds)
    except GenxError as err:
        tallies = {key: Tally(failure=f"export: {err}") for key in tallies}
    else:
        ask(dataclasses.replace(case, contender=REFERENCE, action="reference"), Tally())
        check_contenders(case, tallies)
        for turn in range(args.rounds):
            time_contenders(case, tallies, turn)
    return [make_row(workload.name, *key, tally) for key, tally in tallies.items()]


def make_case(workload: Workload, weights: Path | None, cache: Path, seconds: float) -> Case:
    """Export a workload; return the case that its contenders are asked, but for who and what."""
    tell(f"{workload.name}: export")
    bundle = cache / f"{workload.name}.genx"
    cache.mkdir(parents=True, exist_ok=True)
    images = cache / "images"
    if workload.images:
        write_images(images, (TIMED_SEED, CALIBRATION_SEED, FRESH_SEED), SAMPLES)
    export(
        workload.source,
        bundle,
        weights=weights,
        priors=workload.priors,
        output=workload.output,
        precision=("fp32", "int8"),
        recipe=QuantisationRecipe(min_psnr_db=MIN_PSNR_DB),
        images={"image": images / str(CALIBRATION_SEED)} if workload.images else None,
        name=workload.name,
        force=True,
    )
    return Case(
        contender="",
        action="",
        bundle=str(bundle),
        source=workload.source,
        weights=str(weights or ""),
        cache=str(cache),
        images=str(images) if workload.images else "",
        batch=workload.batches[0],
        seconds=seconds,
    )


def check_contenders(case: Case, tallies: dict[tuple[int, str], Tally]) -> None:
    """Compare with PyTorch those contenders that compute less exactly; quantises the peers."""
    for (batch, name), tally in tallies.items():
        if name in (*INT8_PEERS, GENX):
            tell(f"{case.bundle}: {name}, batch {batch}, fresh samples")
            asked = dataclasses.replace(case, contender=name, action="check", batch=batch)
            tally.psnr_db = ask(asked, tally).psnr_db


def time_contenders(case: Case, tallies: dict[tuple[int, str], Tally], turn: int) -> None:
    """Time each contender once; one that has failed is not tried again."""
    for (batch, name), tally in tallies.items():
        if not tally.failure:
            tell(f"{case.bundle}: {name}, batch {batch}, round {turn + 1}")
            asked = dataclasses.replace(case, contender=name, action="time", batch=batch)
            tally.latencies_ns += ask(asked, tally).latencies_ns


def ask(case: Case, tally: Tally) -> Answer:
    """Run one case in its own process; a failure is noted in the tally."""
    outcome = run_child(
        (sys.executable, str(CONTENDERS)), data=msgspec.json.encode(case), timeout_s=TIMEOUT_S
    )
    if outcome.failure:
        tally.failure = outcome.failure
        return Answer()
    return msgspec.json.decode(outcome.output, type=Answer)


def make_row(workload: str, batch: int, contender: str, tally: Tally) -> Row:
    row = Row(workload=workload, batch=batch, contender=contender, failure=tally.failure)
    if tally.failure:
        return row
    return msgspec.structs.replace(
        row,
        median_ms=statistics.median(tally.latencies_ns) / 1e6,
        best_ms=min(tally.latencies_ns) / 1e6,
        psnr_mean_db=statistics.fmean(tally.psnr_db) if tally.psnr_db else None,
        psnr_worst_db=min(tally.psnr_db, default=None),
    )


def print_table(rows: Sequence[Row]) -> None:
    """Print the contenders of one workload at one batch size."""
    genx = next((row.median_ms for row in rows if row.contender == GENX), None)
    print(f"\n{rows[0].workload}, batch {rows[0].batch}")
    print(f"  {'':<22} median ms   best ms   PSNR mean  worst dB   / genx auto")
    for row in rows:
        if row.median_ms is None:
            print(f"  {row.contender:<22} {row.failure}")
            continue
        quality = f"{'-':>11}{'-':>10}"
        if row.psnr_mean_db is not None:
            quality = f"{row.psnr_mean_db:11.1f}{row.psnr_worst_db:10.1f}"
        ratio = f"{row.median_ms / genx:14.2f}" if genx else f"{'-':>14}"
        print(f"  {row.contender:<22}{row.median_ms:10.3f}{row.best_ms:10.3f} {quality}{ratio}")


def tell(text: str) -> None:
    """Show progress where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
