from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import onnx.parser
import pytest
import safetensors.torch
import torch
from tests.cli.conftest import Run, finish, list_files, start

from genx_export.sources.python_callable import find_callable
from genx_runtimes import open_bundle

FLAT = ("--prior", "z=normal:8")


def _state(models: Path, name: str = "Flat") -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module: Any = find_callable(f"{models}:{name}")()
    return dict(module.state_dict())


def test_what_a_user_reads(genx: Run, models: Path, tmp_path: Path) -> None:
    safetensors.torch.save_file(_state(models), tmp_path / "w.safetensors")
    options = ("--weights", "w.safetensors", *FLAT, "-o", "flat.genx")
    done = genx("export", "models.py:Flat", *options)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("wrote flat.genx: 0.00 MB, in ")
    assert lines[1].split() == ["component", "weights", "nodes", "MB"]
    assert lines[2].split() == ["generator", "72", "1", "0.00"]
    assert lines[3].startswith("  equals the original model within ")
    assert lines[3].endswith(" of the output range (allowed 1e-05)")
    assert lines[4] == "  batch 1 to 64"
    assert lines[5].startswith("next: genx sample flat.genx -n 64 -o ")
    for line in lines[5:]:
        following = shlex.split(line.removeprefix("next:"), comments=True)
        assert following[0] == "genx"
        assert genx(*following[1:]).code == 0


def test_json(genx: Run, models: Path) -> None:
    done = genx("export", f"{models}:Flat", *FLAT, "-o", "flat.genx", "--json")
    report = json.loads(done.out)
    assert report["path"] == "flat.genx"
    assert report["components"][0]["name"] == "generator"
    assert report["max_error"] <= report["tolerance"] == 1e-5
    assert done.err == ""


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        (
            "TutorialGenerator",
            ("--prior", "z=normal:100x1x1", "--output", "image:-1..1"),
            (3, 64, 64),
        ),
        ("LinearGenerator", ("--prior", "z=normal:62", "--output", "image:0..1"), (1, 28, 28)),
        (
            "TransformerGenerator",
            ("--prior", "z=normal:4x32", "--prior", "label=categorical:5"),
            (6, 3),
        ),
    ],
)
def test_models_that_no_one_here_wrote(
    genx: Run, models: Path, name: str, options: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    done = genx("export", f"{models}:{name}", *options, "-o", "m.genx")
    assert done.code == 0, done.err
    assert genx("verify", "m.genx").code == 0
    assert genx("sample", "m.genx", "-n", 5, "-o", "s.npy").code == 0
    with open_bundle("m.genx").sampler() as sampler:
        assert next(sampler.sample(3)).output.shape == (3, *shape)


def test_checkpoints_with_key_and_prefix(genx: Run, models: Path, tmp_path: Path) -> None:
    state = {f"generator.{k}": v for k, v in _state(models).items()}
    torch.save({"step": 1, "ema": state}, tmp_path / "c.pt")
    options = (*FLAT, "--weights", "c.pt", "-o", "flat.genx", "--zip")
    done = genx("export", f"{models}:Flat", *options)
    assert "c.pt holds no plain state dict; name the entry that does with --weights-key" in done.err
    done = genx("export", f"{models}:Flat", *options, "--weights-key", "ema")
    assert done.err.endswith("; --weights-prefix generator.\n")
    options = (*options, "--weights-key", "ema", "--weights-prefix", "generator.")
    assert genx("export", f"{models}:Flat", *options).code == 0
    assert (tmp_path / "flat.genx").is_file()
    assert genx("verify", "flat.genx").code == 0


def test_other_sources(genx: Run, models: Path, tmp_path: Path) -> None:
    module: Any = find_callable(f"{models}:Flat")()
    program = torch.export.export(module.eval(), (torch.zeros(2, 8),), strict=False)
    torch.export.save(program, tmp_path / "flat.pt2")
    text = (
        '<ir_version: 9, opset_import: ["" : 20]> g (float[N,8] x) => (float[N,8] y) {y = Tanh(x)}'
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "tanh.onnx")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "recipe.toml").write_text(
        f'model = "{models}:Flat"\n[priors.z]\nkind = "normal"\nshape = [8]\n'
    )
    assert genx("export", "flat.pt2", *FLAT, "-o", "a.genx").code == 0
    assert genx("export", "tanh.onnx", *FLAT, "-o", "b.genx").code == 0
    assert genx("export", "folder", "-o", "c.genx").code == 0
    assert genx("export", "models:Flat", *FLAT, "-o", "d.genx").code == 0
    for name in "abcd":
        assert genx("verify", f"{name}.genx").code == 0


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        (
            "models.py:Falt",
            FLAT,
            1,
            "error: 'Falt' is not there in models.py; did you mean 'Flat'?",
        ),
        ("model.py:Flat", FLAT, 1, "error: there is no file model.py; did you mean 'models.py'?"),
        ("no_module:Flat", FLAT, 1, "error: module 'no_module' cannot be imported: ModuleNotFound"),
        ("nothing", FLAT, 1, "error: nothing is not there; give a folder with a recipe.toml"),
        ("models.py", FLAT, 1, "error: models.py names a file but not what in it makes the model"),
        (
            "models.py:Flat",
            (),
            1,
            "error: the model has no prior to sample from; --prior z=normal:",
        ),
        ("models.py:Flat", ("--prior", "z=norml:8"), 2, "unknown prior kind 'norml'; did you mean"),
        (
            "models.py:Flat",
            ("--prior", "z=normal:9"),
            1,
            "rejects its inputs: got z (8, 9); the mo",
        ),
        ("models.py:Flat", (*FLAT, "--prior", "y=normal:1"), 1, "prior 'y' feeds nothing"),
        ("models.py:Flat", (*FLAT, "--output", "image:0..1"), 1, "has shape (B, 8), an image has"),
        ("models.py:Flat", (*FLAT, "--output", "picture"), 2, "unknown output kind 'picture'"),
        ("models.py:Flat", (*FLAT, "--batch", "0:4"), 2, "--batch '0:4' is not a range from 1"),
        (
            "models.py:Flat",
            (*FLAT, "--tolerance", "0"),
            2,
            "tolerance is 0.0, expected more than 0",
        ),
        ("models.py:Flat", (*FLAT, "--family", "gan"), 2, "error: unknown family 'gan'"),
        ("models.py:Flat", (*FLAT, "--weights", "no.pt"), 1, "there is no weights file no.pt"),
        (
            "models.py:LinearGenerator",  # of `Flat` some CPUs compute the same to the last bit
            ("--prior", "z=normal:62", "--output", "image:0..1", "--tolerance", "1e-30"),
            3,
            "drifts from the original model by",
        ),
        (
            "models.py:Shuffle",
            FLAT,
            1,
            "component 'generator' draws its own random numbers: aten.r",
        ),
        ("models.py:Flat", (*FLAT, "-o", "no/x.genx"), 1, "there is no folder no; mkdir -p no"),
        (
            "models.py:Flat",
            (*FLAT, "-o", "models.py/x"),
            1,
            "cannot write models.py/x: Not a direct",
        ),
        (
            "models.py:Flat",
            (*FLAT, "-o", "models.py"),
            2,
            "error: models.py exists already; --forc",
        ),
        (
            "models.py:Flat",
            (*FLAT, "-o", "models.py", "--force"),
            2,
            "is no bundle; it is left alone",
        ),
    ],
)
def test_what_is_refused(
    genx: Run,
    models: Path,
    tmp_path: Path,
    source: str,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    before = models.read_bytes()
    done = genx("export", source, "-o", "x.genx", *options)
    assert message in done.err
    assert done.code == code
    assert len([line for line in done.err.splitlines() if line.startswith("error")]) == 1
    assert done.out == ""
    assert list_files(tmp_path) == {"models.py"}
    assert models.read_bytes() == before


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch trapped",)


def test_weights_that_are_refused(genx: Run, models: Path, tmp_path: Path) -> None:
    state = _state(models)
    good = tmp_path / "good.safetensors"
    safetensors.torch.save_file(state, good)
    (tmp_path / "short.safetensors").write_bytes(good.read_bytes()[:-9])
    torch.save({"w": _Trap()}, tmp_path / "trap.pt")
    extra = {f"extra.{i}": torch.zeros(1) for i in range(7)}
    torch.save({"linear.bias": state["linear.bias"], **extra}, tmp_path / "other.pt")
    torch.save({**state, "linear.bias": torch.full((8,), torch.nan)}, tmp_path / "nan.pt")
    before = list_files(tmp_path)
    for name, message in [
        ("short.safetensors", "error: short.safetensors is truncated or not a safetensors file"),
        ("trap.pt", "error: trap.pt is refused: loading it needs unpickling code (it would run"),
        (
            "other.pt",
            "1 (linear.weight) missing; 7 (extra.0, extra.1, extra.2, extra.3, extra.4, ...)",
        ),
        ("nan.pt", "error: linear.bias holds 8 NaN or infinite values of 8; take an earlier"),
    ]:
        done = genx("export", "models.py:Flat", *FLAT, "--weights", name, "-o", "x.genx")
        assert done.code == 1
        assert message in done.err
        assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == before


def test_a_full_disk_leaves_the_old_bundle(
    genx: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert genx("export", "models.py:Flat", *FLAT, "-o", "x.genx").code == 0
    digest = open_bundle(tmp_path / "x.genx").digest

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    done = genx("export", "models.py:Flat", *FLAT, "-o", "x.genx", "--force", "--name", "y")
    assert done.code == 1
    assert "error: the disk is full: x.genx was not written" in done.err
    assert open_bundle(tmp_path / "x.genx").digest == digest
    assert list_files(tmp_path) == {"models.py", "x.genx"}


def test_ctrl_c_in_the_middle(models: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "export", "models.py:Slow", *FLAT, "-o", "x.genx")
    limit = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130
    assert done.err == "error: interrupted; nothing half written was left\n"
    assert list_files(tmp_path) == {"models.py", "started"}


def test_debug_shows_the_traceback(genx: Run, models: Path) -> None:
    from genx_runtimes.errors import SourceError

    with pytest.raises(SourceError):
        genx("--debug", "export", "models.py:Falt", *FLAT, "-o", "x.genx")


def test_without_torch_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda n, *rest: None if n == 'torch' else find(n, *rest)\n"
    )
    done = finish(start(tmp_path, "export", "a.py:b", "-o", "x", PYTHONPATH=str(tmp_path)))
    assert done.code == 1
    assert done.err == "error: genx export needs torch; pip install 'genx[export]'\n"
