from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genx_cli import extras
from genx_cli.app import app

TINY = str(Path(__file__).parents[1] / "data" / "tiny.genx")
QUICK = ["--min-duration", "0.01", "--rounds", "1", "--threads", "1"]


def test_figures_for_people() -> None:
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--batch", "1,2"])
    assert result.exit_code == 0, result.output
    for text in (
        "p50 ms",
        "samples/s",
        "onnxruntime fp32",
        "timed: one call draws",
        "2 of 2 cases",
    ):
        assert text in result.stdout
    assert result.stdout.rstrip().splitlines()[-1].startswith("next: genx ")
    assert "vs torch" not in result.stdout


def test_figures_for_machines() -> None:
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--batch", "2", "--json"])
    found = json.loads(result.stdout)
    assert (found["bundle"], found["threads"], len(found["digest"])) == ("tiny", 1, 64)
    (row,) = found["rows"]
    assert (row["batch"], row["speedup_vs_torch"]) == (2, None)
    assert row["latency"]["p50_ms"] > 0


def test_quiet_says_nothing() -> None:
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--batch", "1", "-q"])
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "99"], "batch is 99, this bundle takes 1 to 16"),
        (["--batch", "x"], "not a list of batch sizes"),
        (["--backend", "onnxrt"], "unknown backend 'onnxrt'; did you mean 'onnxruntime'?"),
        (["--precision", "int3"], "no precision 'int3'"),
        (["--rounds", "0"], "rounds is 0"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["bench", TINY, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_torch_the_comparison_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, package: str | None = None) -> object:
        return None if name == "torch" else util.find_spec(name, package)

    monkeypatch.setattr(extras, "find_spec", find)
    result = CliRunner().invoke(app, ["bench", TINY, "--compare-torch", "samples/dcgan"])
    assert result.exit_code == 1
    assert "pip install 'genx[export]'" in result.stderr
