"""The committed weights are as good as the samples' pages say, through their bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samples.evaluate import Figure, coverage, evaluate, purity, smallest_share

from genx_runtimes import open_bundle
from genx_runtimes.verify import verify_bundle

SAMPLES = Path(__file__).parents[2] / "samples"
GENERATORS = ("dcgan", "vae", "infogan")
MAX_WEIGHTS = 2_000_000
PARITY = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def figures(folder: Path) -> dict[str, Figure]:
    return {figure.name: figure for figure in evaluate(folder)}


@pytest.mark.parametrize(
    ("name", "bar"),
    [
        ("classifier: held-out digits named rightly", 0.97),
        ("dcgan: digits as requested", 0.90),
        ("vae: rarest digit", 0.03),
        ("infogan: purity of the categorical code", 0.80),
        ("infogan: digits that a code stands for", 0.80),
    ],
)
def test_figures_reach_their_bars(figures: dict[str, Figure], name: str, bar: float) -> None:
    assert figures[name].bar == bar
    assert figures[name].value >= bar


@pytest.mark.parametrize("name", GENERATORS)
def test_bundles_equal_pytorch(figures: dict[str, Figure], folder: Path, name: str) -> None:
    report = verify_bundle(open_bundle(folder / f"{name}.genx"))
    assert figures
    assert report.passed
    assert report.max_error <= PARITY


@pytest.mark.parametrize("name", [*GENERATORS, "classifier"])
def test_weights_are_small(name: str) -> None:
    assert (SAMPLES / name / "weights.safetensors").stat().st_size <= MAX_WEIGHTS


def test_the_measures_themselves() -> None:
    codes = np.repeat(np.arange(10), 10)
    assert purity(codes, codes) == coverage(codes, codes) == 1.0
    assert purity((codes + 3) % 10, codes) == 1.0  # which digit a code means is free
    mixed = np.tile(np.arange(10), 10)
    assert purity(mixed, codes) == pytest.approx(0.1)
    collapsed = np.zeros(100, np.int64)
    assert purity(collapsed, codes) == 1.0
    assert coverage(collapsed, codes) == pytest.approx(0.1)
    assert smallest_share(collapsed) == 0
    assert smallest_share(codes) == pytest.approx(0.1)
