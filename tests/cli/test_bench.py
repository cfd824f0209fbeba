from __future__ import annotations

import inspect
import json
from importlib import util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genx_cli import extras
from genx_cli.app import app
from genx_cli.commands.bench import bench
from genx_cli.contenders import list_contenders
from genx_cli.engines import Engine, EngineChoice
from genx_cli.sink import Sink
from genx_runtimes.bench import BenchOptions, decode_report, rounds
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.session import SessionOptions

TINY = str(Path(__file__).parents[1] / "data" / "tiny.genx")
CODES = str(Path(__file__).parents[1] / "data" / "tiny_codes.genx")
QUICK = ["--min-duration", "0.01", "--rounds", "1", "--threads", "1"]


def test_figures_for_people() -> None:
    command = ["bench", TINY, *QUICK, "--batch", "1,2", "--rounds", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    for text in (
        "p50 ms",
        "95 % interval",
        "samples/s",
        "onnxruntime fp32",
        "timed: one call draws",
        "energy is not available",
        "2 of 2 cases",
    ):
        assert text in result.stdout
    assert result.stdout.rstrip().splitlines()[-1].startswith("next: genx ")
    assert "vs torch" not in result.stdout


def test_figures_for_machines() -> None:
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--batch", "2", "--json", "-"])
    found = decode_report(result.stdout.encode())
    (bundle,) = found.bundles
    assert (bundle.name, len(bundle.digest)) == ("tiny", 64)
    (row,) = found.rows
    assert (row.batch, row.threads) == (2, 1)
    assert row.latency is not None
    assert row.latency.p50_ms > 0


def test_the_report_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    command = ["bench", TINY, *QUICK, "--batch", "1", "--json", str(path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert decode_report(path.read_bytes()).complete
    assert f"next: genx compare {path} OTHER.json" in result.stdout
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "exists already; --force replaces it" in again.stderr


def test_several_bundles_engines_and_scenarios() -> None:
    command = ["bench", TINY, CODES, *QUICK, "--batch", "2", "--backend", "onnxruntime,openvino"]
    result = CliRunner().invoke(app, [*command, "--scenario", "single-stream,offline", "--json=-"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert {(r["bundle"], r["backend"], r["scenario"]) for r in rows} == {
        (bundle, backend, scenario)
        for bundle in ("tiny", "tiny_codes")
        for backend in ("onnxruntime", "openvino")
        for scenario in ("single-stream", "offline")
    }


def test_auto_is_settled_for_each_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genx_runtimes.tuning.store._AUTO_BUDGET_S", 1.0)
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--backend", "auto", "--batch", "1,2"])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("auto: ") == 2 * 2  # two tables


def test_auto_is_settled_for_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def settle(sink: object, bundle: Bundle, choice: EngineChoice, batch: int) -> Engine:
        del sink
        asked.append((choice.precision, batch))
        name = choice.precision or "fp32"
        return Engine(
            bundle=bundle,
            backend="onnxruntime",
            precision=name,
            options=SessionOptions(threads=1),
            batch=batch,
            reason="",
            notes=[],
        )

    monkeypatch.setattr("genx_cli.engines.settle_engine", settle)
    bundle, options = open_bundle(TINY), BenchOptions(batches=(2,))

    def ask(precision: str | None) -> list[str]:
        found = list_contenders(
            Sink(), bundle, options, backend="auto", precision=precision, instances=1
        )
        return [contender.name for contender in found]

    assert ask("fp32,fp32") == ["auto: onnxruntime fp32"]
    assert ask(None) == ask("all") == ["auto: onnxruntime fp32"]
    assert asked == [("fp32", 2), (None, 2), (None, 2)]
    with pytest.raises(InputError, match="no precision 'int8'"):
        ask("fp32,int8")
    assert asked[3:] == [("fp32", 2), ("int8", 2)]


def test_the_flags_have_the_defaults_of_the_options() -> None:
    flags, options = inspect.signature(bench).parameters, BenchOptions()
    assert flags["rounds"].default == options.rounds
    assert flags["min_duration"].default == options.min_duration_s
    assert flags["latency_bound"].default == options.latency_bound_ms


def test_quiet_says_nothing() -> None:
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--batch", "1", "-q"])
    assert (result.exit_code, result.output) == (0, "")


def test_a_failed_row_is_told_and_the_exit_code_is_1() -> None:
    command = ["bench", TINY, *QUICK, "--batch", "1", "--backend", "null,onnxruntime"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "null fp32, single-stream, batch 1 was not measured: " in result.stderr
    assert "measured 1 of 2 cases" in result.stdout


def test_ctrl_c_tells_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = rounds.run_child, []

    def interrupt(*args: object, **fields: object) -> object:
        asked.append(args)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(*args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(rounds, "run_child", interrupt)
    result = CliRunner().invoke(app, ["bench", TINY, *QUICK, "--batch", "1,2"])
    assert result.exit_code == 130
    assert "interrupted: these are the figures by then" in result.stdout
    assert "measured 1 of 1 cases" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "99"], "batch is 99, this bundle takes 1 to 16"),
        (["--batch", "x"], "not a list of batch sizes"),
        (["--backend", "onnxrt"], "unknown backend 'onnxrt'; did you mean 'onnxruntime'?"),
        (["--precision", "int3"], "no precision 'int3'"),
        (["--rounds", "0"], "rounds is 0"),
        (["--scenario", "ofline"], "unknown scenario 'ofline'"),
        (["--instances", "0"], "instances is 0"),
        (["--json", "report.txt"], "ends in '.txt'"),
        (["--compare-torch", "x", CODES], "names one model, there are 2 bundles"),
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
