"""The search for the fastest way to run a bundle, as a user meets it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import DATA, Run
from tests.runtimes.tuning_machine import TuningMachine, Way, make_machine

TINY = DATA / "tiny.genx"


@pytest.fixture
def tuning_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TuningMachine:
    """OpenVINO takes half the time, two instances two thirds."""
    made = make_machine(monkeypatch, tmp_path / "cache")

    def takes(way: Way, _: int) -> float:
        return (0.5 if way[0] == "openvino" else 1.0) * (1.0 if way[3] == 1 else 1.5)

    made.takes_ms = takes
    return made


def follow(genx: Run, out: str) -> None:
    """Run what the last line suggests."""
    done = genx(*shlex.split(out.splitlines()[-1].removeprefix("next: genx ")))
    assert done.code == 0, done.err


def test_a_table_of_what_was_tried(genx: Run, tuning_machine: TuningMachine) -> None:
    done = genx("tune", TINY)
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert " ".join(lines[0]) == "engine and variant threads batch ms a call vs default rounds MB"
    assert lines[1] == ["openvino", "fp32", "2", "1", "0.500", "2.00", "x", "5", "80", "*"]
    assert ["onnxruntime", "fp32", "2", "1", "1.000", "default", "5", "80"] in lines
    assert done.out.count("fastest: openvino fp32 with 2 threads") == 2  # batch 1 and 16
    assert done.out.splitlines()[-1] == f"next: genx sample {TINY} -n 64 -o grid.png --backend auto"
    count = len(tuning_machine.asked)
    drawn = genx("sample", TINY, "-n", 4, "-o", "a.png", "--backend", "auto", "--explain")
    assert "  drawn by openvino fp32 with 2 threads, 0.500 ms at batch 16: 2.00 x" in drawn.out
    follow(genx, done.out)
    assert len(tuning_machine.asked) == count  # remembered
    assert "remembered" not in done.out
    again = genx("tune", TINY)
    assert again.out.count("not searched now; --again searches anew") == 2
    assert again.out.count("; remembered from 20") == 2
    assert len(tuning_machine.asked) == count
    plain = genx("sample", TINY, "-n", 4, "-o", "b.png", "--explain")
    assert "  drawn by onnxruntime, as asked for" in plain.out


def test_auto_searches_where_nothing_is_known(genx: Run, tuning_machine: TuningMachine) -> None:
    done = genx("sample", TINY, "-n", 2, "-o", "a.png", "--backend", "auto", "--explain")
    assert "drawn by openvino fp32" in done.out
    assert {case.batch for case in tuning_machine.asked} == {16}


def test_what_was_restricted_is_restricted_in_the_next_command(
    genx: Run, tuning_machine: TuningMachine
) -> None:
    done = genx("tune", TINY, "--batch", 4, "--threads", 1, "--precision", "fp32")
    assert done.out.splitlines()[-1].endswith(
        "--backend auto --precision fp32 --threads 1 --batch 4"
    )
    count = len(tuning_machine.asked)
    follow(genx, done.out)
    assert len(tuning_machine.asked) == count


def test_throughput(genx: Run, tuning_machine: TuningMachine) -> None:
    done = genx("tune", TINY, "--for", "throughput", "--batch", "4,16")
    assert done.code == 0
    assert "samples/s" in done.out.splitlines()[0]
    # 2 x 16 samples in 0.75 ms against 16 in 1 ms.
    assert "openvino fp32 with 2 instances of 1 thread, 42,667 samples a second" in done.out
    assert done.out.splitlines()[-1].endswith(
        "--backend openvino --precision fp32 --threads 1 --instances 2 --batch 16"
    )
    follow(genx, done.out)


def test_for_machines(genx: Run, tuning_machine: TuningMachine) -> None:
    done = genx("tune", TINY, "--batch", 1, "--json")
    (found,) = json.loads(done.out)["tunings"]
    assert found["combinations"][0]["backend"] == "openvino"
    assert (found["goal"], found["batches"], found["complete"]) == ("latency", [1], True)


def test_reasons_stand_in_the_table(genx: Run, tuning_machine: TuningMachine) -> None:
    tuning_machine.wrong = lambda way: "is off by 0.3" if way[0] == "openvino" else ""
    done = genx("tune", TINY, "--batch", 1)
    assert done.code == 0
    assert "is off by 0.3" in done.out
    assert "fastest: the default, onnxruntime fp32" in done.out
    tuning_machine.peak_mb = lambda _: 600
    none = genx("tune", TINY, "--batch", 1, "--max-memory", "500MB")
    assert none.code == 1
    assert "takes 600 MB, allowed 500 MB" in none.out
    assert none.err.startswith("error: no engine ran this bundle within the bounds: ")


@pytest.mark.parametrize(
    "interrupted", [lambda machine: 2, lambda machine: len(machine.asked)], ids=["early", "now"]
)
def test_ctrl_c_shows_what_is_known_and_leaves_nothing(
    genx: Run,
    tuning_machine: TuningMachine,
    tmp_path: Path,
    interrupted: Callable[[TuningMachine], int],
) -> None:
    tuning_machine.interrupt_at = interrupted(tuning_machine)
    done = genx("tune", TINY, "--batch", "1,4")
    assert done.code == 130
    assert done.out.splitlines()[0].split()[0] == "engine"
    assert "not remembered" in done.err
    assert "Traceback" not in done.err
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--for", "speed"), "--for 'speed' is no goal"),
        (("--budget", "soon"), "--budget 'soon' is not understood; --budget 60s"),
        (("--max-memory", "much"), "--max-memory 'much' is not understood"),
        (("--batch", "99"), "takes 1 to 16"),
        (("--precision", "int8"), "no precision 'int8'"),
    ],
)
def test_wrong_arguments(
    genx: Run, tuning_machine: TuningMachine, flags: tuple[str, ...], error: str
) -> None:
    done = genx("tune", TINY, *flags)
    assert done.code == 2
    assert error in done.err
    assert tuning_machine.asked == []
