"""`genx package`: what it says, and what has no meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run, list_files

from genx_cli import extras


def test_it_says_what_was_written_and_what_is_left_to_do(
    genx: Run, tiny: Path, tmp_path: Path
) -> None:
    done = genx("package", tiny, "--for", "triton", "-o", "models")
    assert done.code == 0, done.err
    first, *notes, last = done.out.splitlines()
    assert first == "wrote models: tiny.generator (fp32)"
    assert notes[0].startswith(
        "  Triton runs the graphs alone: the client draws z, label; manifest"
    )
    assert last == "next: tritonserver --model-repository=models"
    assert list_files(tmp_path / "models") == {"tiny.generator"}
    told = genx("package", tiny, "--for", "triton", "-o", "models", "--force", "--json").out
    assert json.loads(told)["names"] == ["tiny.generator"]
    done = genx("package", tiny, "--for", "triton", "-o", "models")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: models/tiny.generator exists already; --force replaces it\n"


def test_the_other_targets(genx: Run, tiny: Path, tmp_path: Path) -> None:
    done = genx("package", tiny, "--for", "kserve", "-o", "tiny.yaml", "--image", "genx-tiny")
    assert done.out.splitlines()[0] == "wrote tiny.yaml: tiny (fp32)"
    done = genx("package", tiny, "--for", "oci", "-o", "context", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert list_files(tmp_path) == {"tiny.yaml", "context"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--for", "tritan"], "unknown target 'tritan'; did you mean 'triton'?"),
        (["--for", "triton", "--image", "x"], "--image has no meaning for triton; leave it out"),
        (["--for", "oci", "--storage-uri", "s3://x"], "--storage-uri has no meaning for oci"),
        (["--for", "triton", "--precision", "int8"], "the bundle has no precision 'int8'"),
    ],
)
def test_what_is_refused(
    genx: Run, tiny: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    done = genx("package", tiny, *words, "-o", "out")
    assert done.code == 2
    assert says in done.err
    assert list_files(tmp_path) == set()


def test_an_image_needs_the_server_s_packages(
    genx: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda n: None if n == "uvicorn" else known(n))
    done = genx("package", tiny, "--for", "oci", "-o", "context")
    assert done.err == "error: genx package --for oci needs uvicorn; pip install 'genx[serve]'\n"
