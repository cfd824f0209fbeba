"""The data set card."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.generate.conftest import DATA, MakePlan, run_here

from genx_runtimes.generate import generate
from genx_runtimes.generate.card import name_size

CARD = """---
pretty_name: "tiny"
tags:
- synthetic
- genx
size_categories:
- n<1K
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.tar
---

# tiny: 100 synthetic samples

For tests

![the first samples](contact-sheet.png)

"""


def test_a_card(plan: MakePlan) -> None:
    made = plan(conditions={"label": "balanced"}, truncation=1.5)
    generate(made, runner=run_here)
    card = Path(made.folder, "README.md").read_text()
    assert card.startswith(CARD)
    for line in (
        "- `image`: the sample",
        "- `index`: its index",
        "- `label`: a class of 4: circle, square, star, wave",
        f"- bundle `tiny`, SHA-256 of its manifest `{made.settings.bundle}`",
        "- seed 3, samples 0 to 99",
        "- set: label = balanced, truncation = 1.5",
        "- fp32 on onnxruntime, 16 a pass",
        "- 7 shards, each with its hash in `dataset.json`",
    ):
        assert line in card.splitlines()


def test_what_is_no_image_has_no_sheet(plan: MakePlan) -> None:
    made = plan(DATA / "tiny_codes.genx")
    generate(made, runner=run_here)
    card = Path(made.folder, "README.md").read_text()
    assert "contact-sheet" not in card
    assert "- `style`: 2 values, uniform" in card
    assert "- `tensor`: the sample" in card
    assert not Path(made.folder, "contact-sheet.png").exists()


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (100_000, "100K<n<1M"),
        (10_000_000, "10M<n<100M"),
        (10**12, "n>1T"),
    ],
)
def test_size_categories(count: int, name: str) -> None:
    assert name_size(count) == name
