"""The Dockerfiles, which nothing here builds: what they copy is there and makes the wheel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[1]
DOCKERFILES = sorted((ROOT / "docs" / "docker").glob("Dockerfile.*"))


def read_instructions(path: Path) -> list[tuple[str, str]]:
    """Return (instruction, arguments), comments left out and continued lines joined."""
    text = "\n".join(x for x in path.read_text("utf-8").splitlines() if not x.startswith("#"))
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def name_what_the_wheel_is_made_of() -> set[str]:
    """Return the files and top folders that pyproject.toml names, and itself."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = settings["project"]
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    folders = {package.split("/")[0] for package in packages}
    return {"pyproject.toml", project["readme"], *project["license-files"], *folders}


def test_there_is_one_for_each_kind_of_machine() -> None:
    assert [path.suffix for path in DOCKERFILES] == [".cpu", ".gpu", ".jetson"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_what_is_copied_is_there_and_makes_the_wheel(path: Path) -> None:
    copies = [rest.split()[:-1] for word, rest in read_instructions(path) if word == "COPY"]
    sources = {name for copy in copies if not copy[0].startswith("--from=") for name in copy}
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert sources >= name_what_the_wheel_is_made_of()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_base_images_are_pinned_by_a_version_tag(path: Path) -> None:
    instructions = read_instructions(path)
    defaults = dict(rest.split("=", 1) for word, rest in instructions if word == "ARG")
    stages = [rest.split(" AS ") for word, rest in instructions if word == "FROM"]
    own = {stage[1] for stage in stages if len(stage) > 1}
    images = [re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], stage[0]) for stage in stages]
    for image in set(images) - own:
        assert re.search(r":[a-z]*\d+\.\d+", image), f"{image} has no version"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_it_runs_genx_and_not_as_root(path: Path) -> None:
    last = dict(read_instructions(path))
    assert last["ENTRYPOINT"] == '["genx"]'
    assert last["HEALTHCHECK"].endswith('CMD ["genx", "doctor"]')
    assert last["USER"] not in {"root", "0"}
