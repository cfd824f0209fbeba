from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, Run, finish, list_files, start

from genx_cli.generate_progress import GenerationShown
from genx_cli.sink import Sink
from genx_runtimes import open_bundle
from genx_runtimes.generate import Failure, Shard, make_plan

TWO = ("-n", 40, "--shard-size", 16, "--workers", 2)


def test_a_data_set_and_again(genx: Run, tiny: Path, tmp_path: Path) -> None:
    options = (*TWO, "--seed", 5, "--set", "label=balanced", "--format", "png", "-o", "digits")
    done = genx("generate", tiny, *options)
    assert (done.code, done.err) == (0, "")
    first, following = done.out.splitlines()
    assert first.startswith("digits holds 40 samples of seed 5 from tiny: 3 shards, 0.")
    assert following == "next: see digits/README.md for how to read it"
    assert list_files(tmp_path / "digits") == {
        *("dataset.json", "README.md", "contact-sheet.png", "data", ".lock"),
    }
    assert len(list((tmp_path / "digits").rglob("*.png"))) == 41
    shutil.rmtree(tmp_path / "digits" / "data" / "shard-00001")
    again = genx("generate", tiny, *options, "--workers", 1)
    assert again.out.splitlines()[0] == "2 shards are there already, 1 are missing"
    refused = genx("generate", tiny, *options, "--seed", 6)
    assert refused.code == 2
    assert refused.err == (
        f"error: {tmp_path / 'digits'} was begun with other settings: seed is 6, it was 5; give "
        "the same ones, or choose another folder with -o\n"
    )


def test_json(genx: Run, tiny: Path) -> None:
    done = genx("generate", tiny, *TWO, "-o", "x", "--json")
    result = json.loads(done.out)
    assert (result["path"], result["samples"], result["shards"]) == ("x", 40, 3)
    assert (result["kept"], result["failed"], result["notes"]) == (0, [], [])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--format", "tar"), 2, "error: unknown format 'tar'; there is: parquet, webdataset"),
        (("--on", "moon"), 2, "error: unknown runner 'moon'"),
        (("--workers", 0), 2, "error: workers is 0, expected 1 or more"),
        (("--image", "gif"), 2, "error: images cannot be written as 'gif'"),
        (("--quality", 3), 2, "error: PNG loses nothing: it has no quality; --image jpeg"),
        (("--steps", 3), 2, "error: --steps has no meaning for this bundle"),
        (("--backend", "tensorrt"), 1, "error: "),
        (("-o", "file"), 2, "file is a file; choose another folder with -o"),
    ],
)
def test_what_is_refused(
    genx: Run, tiny: Path, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    (tmp_path / "file").write_text("")
    done = genx("generate", tiny, *TWO, "-o", "x", *options)
    assert done.code == code
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_ctrl_c_says_how_to_go_on(tiny: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "generate", tiny, "-n", 10**7, "--shard-size", 1000, "-o", "x")
    ledger = tmp_path / "x" / "dataset.json"
    while '"index"' not in (ledger.read_text() if ledger.exists() else ""):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert (done.code, done.err) == (130, "error: interrupted; nothing half written was left\n")
    assert "of 10000 shards are finished; run the same command again to go on" in done.out
    finished = len(json.loads(ledger.read_text())["shards"])
    assert {p.name for p in (tmp_path / "x" / "data").iterdir()} >= {
        Path(s["path"]).name for s in json.loads(ledger.read_text())["shards"]
    }
    assert finished >= 1
    assert not list((tmp_path / "x").rglob("*.tmp"))


# Fifteen of the sixteen shards: several that are not heard of yet don't make it look hopeless.
FULL = """
set -e
mkdir disk
mount -t tmpfs -o size=2400k tmpfs disk
code=0
"$@" -o disk/x 2>errors || code=$?
echo "$code"
find disk -name '*.tmp'
cat errors >&2
mount -o remount,size=20m disk
"$@" -o disk/x >/dev/null
rm disk/x/.lock
cp -r disk/x .
"""


def _may_mount() -> bool:
    command = ("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _may_mount(), reason="no disk can be made here")
def test_a_full_disk(genx: Run, tiny: Path, tmp_path: Path) -> None:
    options = ["generate", str(tiny), "-n", "800", "--shard-size", "50", "--workers", "2"]
    command = [sys.executable, "-m", "genx_cli", *options]
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", FULL, "bash", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert done.stderr.startswith("error: the disk is full: ")
    assert len(done.stderr.splitlines()) == 1
    assert genx(*options, "-o", "whole").code == 0
    (tmp_path / "whole" / ".lock").unlink()
    compare = subprocess.run(("diff", "-r", "x", "whole"), cwd=tmp_path, check=False)
    assert compare.returncode == 0


class _Progress:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.count = 0

    def step(self, text: str) -> None:
        self.texts.append(text)

    def advance(self, count: int) -> None:
        self.count += count

    def measure(self, done: int, total: int) -> None:
        pass


def test_what_is_shown_on_the_way(tiny: Path, tmp_path: Path) -> None:
    plan = make_plan(open_bundle(tiny), tmp_path / "x", n=10_000, shard_size=1000)
    progress = _Progress()
    now = iter((0.0, 10.0, 10.0, 12.0, 12.0))
    shown = GenerationShown(Sink(quiet=True), progress, plan, clock=lambda: next(now))
    shards = [
        Shard(index=i, path=plan.name(i), start=1000 * i, count=1000, bytes=1, sha256="")
        for i in range(3)
    ]
    shown.checked(1, 2)
    shown.begun(shards[:2], 8)
    shown.made(shards[2])
    shown.failed(4, Failure(kind="BackendError", message="boom"), 1)
    assert progress.texts == [
        "checking what is there, 1 of 2 shards",
        "2 of 10 shards are finished",
        "3 of 10 shards are finished, 500 samples/s, 0:00:14 left",
        "3 of 10 shards are finished, 500 samples/s, 0:00:14 left, 1 failures",
    ]
    assert progress.count == 3000


def test_the_extra_is_named_in_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'parquet = ["pyarrow' in text
