"""The bars of `peers.py`: how much faster genx has to be than its peers, and how exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

GENX = "genx auto"
FP32_PEERS = ("pytorch eager", "torch.compile", "onnxruntime fp32", "openvino fp32")
INT8_PEERS = ("onnxruntime int8", "nncf int8")
NATIVE = ("onnxruntime fp32", "openvino fp32")
FORMS = ("onnxruntime rewritten", "openvino rewritten")

MIN_PSNR_DB = 35.0
MIN_OVER_FORM = 1.15
MAX_LOSS = 1.05
# Workload, batch, peers, and how many times faster than the best of them genx has to be.
SPEED = (
    ("dcgan64", 8, "fp32", FP32_PEERS, 2.0),
    ("dcgan64", 8, "INT8", INT8_PEERS, 1.3),
    ("dcgan64", 1, "fp32", FP32_PEERS, 1.4),
    ("kl_decoder", 1, "fp32", FP32_PEERS, 1.4),
    ("residual_256", 1, "fp32", FP32_PEERS, 1.4),
)
QUALITY = (("dcgan64", 8), ("kl_decoder", 1), ("residual_256", 1))
REWRITTEN = ("kl_decoder", 1)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one contender; no times where it failed, no PSNR where it is exact."""

    workload: str
    batch: int
    contender: str
    median_ms: float | None = None
    best_ms: float | None = None
    psnr_mean_db: float | None = None
    psnr_worst_db: float | None = None
    failure: str = ""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One requirement, with what was measured, and whether it is met."""

    text: str
    met: bool


def judge(rows: Sequence[Row]) -> list[Bar]:
    """Return the bars of all cases that were measured."""
    cases: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row.workload, row.batch), {})[row.contender] = row
    return [*_judge_speed(cases), *_judge_quality(cases), *_judge_form(cases), *_judge_loss(cases)]


Cases = dict[tuple[str, int], dict[str, Row]]


def _judge_speed(cases: Cases) -> Iterator[Bar]:
    for workload, batch, kind, peers, least in SPEED:
        if case := cases.get((workload, batch)):
            ratio = _divide(_find_best(case, peers), _find_best(case, (GENX,)))
            yield Bar(
                text=f"{workload}, batch {batch}: genx auto {_show(ratio)} x as fast as the best "
                f"{kind} peer (bar: at least {least})",
                met=ratio is not None and ratio >= least,
            )


def _judge_quality(cases: Cases) -> Iterator[Bar]:
    for workload, batch in QUALITY:
        if case := cases.get((workload, batch)):
            psnr = case[GENX].psnr_mean_db if GENX in case else None
            yield Bar(
                text=f"{workload}, batch {batch}: genx auto at a mean of {_show(psnr)} dB "
                f"(bar: at least {MIN_PSNR_DB})",
                met=psnr is not None and psnr >= MIN_PSNR_DB,
            )


def _judge_form(cases: Cases) -> Iterator[Bar]:
    if case := cases.get(REWRITTEN):
        ratio = _divide(_find_best(case, NATIVE), _find_best(case, FORMS))
        yield Bar(
            text=f"{REWRITTEN[0]}, batch {REWRITTEN[1]}: fp32 rewritten {_show(ratio)} x as fast "
            f"as native, each in its best engine (bar: at least {MIN_OVER_FORM})",
            met=ratio is not None and ratio >= MIN_OVER_FORM,
        )


def _judge_loss(cases: Cases) -> Iterator[Bar]:
    for (workload, batch), case in cases.items():
        ratio = _divide(_find_best(case, (GENX,)), _find_best(case, (*FP32_PEERS, *INT8_PEERS)))
        yield Bar(
            text=f"{workload}, batch {batch}: genx auto takes {_show(ratio)} x the time of the "
            f"best peer (bar: at most {MAX_LOSS})",
            met=ratio is not None and ratio <= MAX_LOSS,
        )


def _find_best(case: dict[str, Row], contenders: Sequence[str]) -> float | None:
    """Return the smallest median of those that could be measured."""
    medians = [case[name].median_ms for name in contenders if name in case]
    return min((ms for ms in medians if ms is not None), default=None)


def _divide(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b is not None else None


def _show(value: float | None) -> str:
    return "(not measured)" if value is None else f"{value:.2f}"
