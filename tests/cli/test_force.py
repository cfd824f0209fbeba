"""What --force replaces, and what it never touches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import Run, list_files

from genx_runtimes import open_bundle

FLAT = ("export", "models.py:Flat", "--prior", "z=normal:8")


def test_a_checkpoint_is_a_zip_file_but_no_bundle(genx: Run, models: Path, tmp_path: Path) -> None:
    torch.save({"epoch": 1}, tmp_path / "last.pt")
    before = (tmp_path / "last.pt").read_bytes()
    done = genx(*FLAT, "-o", "last.pt", "--force")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: last.pt exists and is no bundle; it is left alone; -o elsewhere\n"
    assert (tmp_path / "last.pt").read_bytes() == before


@pytest.mark.parametrize("text", ['{"name": "an app"}', "no json"])
def test_a_folder_with_another_manifest(genx: Run, models: Path, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "manifest.json").write_text(text)
    assert "app exists and is no bundle" in genx(*FLAT, "-o", "app", "--force").err
    assert "exists and is no bundle" in genx(*FLAT, "-o", ".", "--force").err
    assert (folder / "manifest.json").read_text() == text
    assert list_files(tmp_path) == {"models.py", "app"}


def test_a_folder_is_replaced_by_a_file_and_back(genx: Run, models: Path, tmp_path: Path) -> None:
    for number, options in enumerate([(), ("--zip",), ("--zip",), ()]):
        name = f"n{number}"
        done = genx(*FLAT, "-o", "x.genx", "--force", "--name", name, *options)
        assert done.code == 0, done.err
        assert open_bundle("x.genx").manifest.name == name
        assert (tmp_path / "x.genx").is_file() == bool(options)
    assert list_files(tmp_path) == {"models.py", "x.genx"}


def test_a_folder_of_pictures_says_what_else_it_holds(
    genx: Run, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for n, others in ((3, 1), (2, 2)):
        done = genx("sample", tiny, "-n", n, "-o", ".", "--force")
        assert done.code == 0
        assert done.err == f"warning: . holds {others} other files; they are as they were\n"
    assert list_files(tmp_path) == {"notes.txt", "000000.png", "000001.png", "000002.png"}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_array_is_replaced(genx: Run, tiny: Path) -> None:
    for n in (2, 5):
        assert genx("sample", tiny, "-n", n, "-o", "x.npy", "--force").code == 0
        assert len(np.load("x.npy")) == n
