"""What people read data sets with reads these: the code of docs/generate.md and of the cards."""

from __future__ import annotations

import json
import os
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
SHOWN = {
    "datasets": "(8, 8) 0",
    "pyarrow": "40",
    "webdataset": "40",
    "torch": "torch.Size([32, 1, 8, 8]) torch.Size([32])",
}
CODES = {
    "features": """
from datasets import load_dataset
digits = load_dataset("parquet", data_files="parquet/data/*.parquet", split="train")
print(len(digits), digits[37]["index"], digits[37]["seed"], digits[37]["label"])
print(digits.features["label"].names)
""",
    "folders": """
from datasets import load_dataset
digits = load_dataset("imagefolder", data_dir="png/data", split="train")
print(sorted(digits["index"]) == list(range(40)), set(digits["seed"]))
print(all(index % 4 == label for index, label in zip(digits["index"], digits["label"])))
""",
    # A folder itself, as of one on a hub, is read as the card's head says.
    **{
        f"hub {form}": f"""
import os
from datasets import load_dataset
digits = load_dataset(os.path.abspath("{form}"), split="train")
print(len(digits), digits[0]["{column}"].size)
"""
        for form, column in (("parquet", "image"), ("webdataset", "png"), ("png", "image"))
    },
}
# One process for all: what they import takes longer than what they do.
RUN = """
import contextlib, io, json, os, sys
shown = {}
for name, (folder, code) in json.load(sys.stdin).items():
    os.chdir(folder)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, name, "exec"), {"__name__": name})
    shown[name] = out.getvalue().splitlines()
json.dump(shown, sys.stdout)
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each code prints where there are 40 balanced samples in each format."""
    root = tmp_path_factory.mktemp("readers")
    codes = {name: (str(root), code) for name, code in CODES.items()}
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
        (code,) = _find_code(root / form / "README.md")
        codes[f"card {form}"] = (str(root / form), code)
    for code in _find_code(ROOT / "docs/generate.md"):
        package = next(p for p in SHOWN if re.search(rf"^(from|import) {p}\b", code, re.MULTILINE))
        codes[package] = (str(root), code)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(codes),
        env={**os.environ, "HF_HOME": str(root / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _find_code(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def test_the_documents_code_runs(shown: dict[str, list[str]]) -> None:
    assert {name: shown[name][-1] for name in SHOWN} == SHOWN


def test_the_cards_code_runs(shown: dict[str, list[str]]) -> None:
    assert all(shown[f"card {form}"] for form in FORMATS)
    assert shown["card parquet"][-1].startswith("<PIL.PngImagePlugin.PngImageFile")


def test_pictures_are_decoded_and_classes_have_names(shown: dict[str, list[str]]) -> None:
    assert shown["features"] == ["40 37 0 1", "['circle', 'square', 'star', 'wave']"]
    assert shown["folders"] == ["True {0}", "True"]


@pytest.mark.parametrize("form", ["parquet", "webdataset", "png"])
def test_a_hub_finds_the_files_by_the_card(shown: dict[str, list[str]], form: str) -> None:
    assert shown[f"hub {form}"][-1] == "40 (8, 8)"
