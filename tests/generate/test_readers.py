"""What people read data sets with reads these: the code of docs/generate.md and of the cards."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.generate.conftest import TINY, run_here

from genx_runtimes import open_bundle
from genx_runtimes.generate import generate, make_plan

ROOT = Path(__file__).parents[2]
FORMATS = ("webdataset", "parquet", "png", "npy")
OUTPUTS = (
    ("datasets", "(8, 8) 0"),
    ("pyarrow", "40"),
    ("webdataset", "40"),
    ("torch", "torch.Size([32, 1, 8, 8]) torch.Size([32])"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 balanced samples in each format."""
    root = tmp_path_factory.mktemp("readers")
    for form in FORMATS:
        plan = make_plan(
            open_bundle(TINY),
            root / form,
            n=40,
            shard_size=16,
            format=form,
            conditions={"label": "balanced"},
        )
        generate(plan, runner=run_here)
    return root


def _run(code: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("package", "shown"), OUTPUTS)
def test_the_documents_code_runs(folder: Path, package: str, shown: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/generate.md").read_text(), re.DOTALL)
    (code,) = [b for b in blocks if re.search(rf"^(from|import) {package}\b", b, re.MULTILINE)]
    assert _run(code, folder)[-1] == shown


@pytest.mark.parametrize("form", FORMATS)
def test_the_cards_code_runs(folder: Path, form: str) -> None:
    card = (folder / form / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert _run(code, folder / form)


def test_pictures_are_decoded_and_classes_have_names(folder: Path) -> None:
    for form, kind in (("parquet", "parquet"), ("png", "imagefolder")):
        files = "data_files='data/*.parquet'" if form == "parquet" else "data_dir='data'"
        code = (
            "from datasets import load_dataset\n"
            f"d = load_dataset('{kind}', {files}, split='train')\n"
            "print(len(d), d[37]['index'], d[37]['seed'], d[37]['label'], d[37]['image'].size)\n"
            "print(d.features['label'])"
        )
        first, second = _run(code, folder / form)[-2:]
        assert first == "40 37 0 1 (8, 8)"
        if form == "parquet":
            assert "['circle', 'square', 'star', 'wave']" in second


def test_a_hub_finds_the_files_by_the_card(folder: Path) -> None:
    """`load_dataset` of the folder itself, as of one on a hub, goes by the card's head."""
    for form, column in (("parquet", "image"), ("webdataset", "png"), ("png", "image")):
        code = (
            "from datasets import load_dataset\n"
            "d = load_dataset('.', split='train')\n"
            f"print(len(d), d[0]['{column}'].size)"
        )
        assert _run(code, folder / form)[-1] == "40 (8, 8)"
