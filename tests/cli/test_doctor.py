from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from typer.testing import CliRunner

from genx_cli.app import app
from genx_runtimes import doctor
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import Outcome
from genx_runtimes.tuning import Request, tune
from genx_runtimes.version import __version__


def test_doctor_for_people() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"genx {__version__}, Python ")
    assert "onnxruntime" in result.stdout
    assert ": works" in result.stdout
    assert result.stdout.rstrip().splitlines()[-1].startswith("next: genx ")


def test_doctor_for_machines() -> None:
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert found["can_sample"] is True
    assert found["machine"]["usable_cores"] >= 1
    assert "CPUExecutionProvider" in found["providers"]


def test_no_working_engine_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(command: object, **_: object) -> Outcome:
        return Outcome(output=b"", failure="was killed by SIGILL")

    monkeypatch.setattr(doctor, "run_child", crash)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "does not work: was killed by SIGILL" in result.stdout
    assert "cannot sample" in result.stdout


def test_a_bundle_by_a_rule_of_thumb(genx: Run, tiny: Path) -> None:
    done = genx("doctor", tiny)
    assert done.code == 0
    lines = done.out.splitlines()
    at = lines.index(f"{tiny}: --backend onnxruntime --precision fp32")
    assert lines[at + 1].startswith("  rule of thumb: ")
    assert lines[at + 1].endswith(f"; genx tune {tiny} measures")
    assert lines[-1] == f"next: genx verify {tiny}"


def test_a_bundle_that_was_measured(genx: Run, tiny: Path) -> None:
    best = tune(open_bundle(tiny), Request(batches=(2,), budget_s=2.0)).best
    (found,) = json.loads(genx("doctor", tiny, "--json").out)["recommendations"]
    assert found.pop("reason").startswith("measured on this machine: ")
    assert found == {
        "bundle": str(tiny),
        "batch": 2,
        "backend": best.backend,
        "variant": best.variant,
        "measured": True,
        "command": "",
    }
    told = genx("doctor", tiny).out
    assert f"{tiny} at batch 2: --backend {best.backend} --precision {best.variant}\n" in told


def test_a_bundle_that_is_none_is_refused_before_anything_is_tried(
    genx: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda **_: pytest.fail("tried"))
    done = genx("doctor", "missing.genx")
    assert done.code != 0
    assert "there is no bundle at missing.genx" in done.err
    assert done.out == ""


def test_all_of_a_machine_is_in_the_json(genx: Run) -> None:
    found = json.loads(genx("doctor", "--json").out)
    assert found["recommendations"] == []
    assert {"jetson", "gpus", "gpu_note", "nvidia_driver"} <= set(found["machine"])
