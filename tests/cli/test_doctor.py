from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from genx_cli.app import app
from genx_runtimes import doctor
from genx_runtimes.child import Outcome
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
