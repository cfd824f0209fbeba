"""A container context, which nothing here builds: it holds all that its server imports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from tests.test_dockerfiles import read_instructions

from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import BackendUnavailableError, InputError
from genx_runtimes.packaging import Packaged, PackageRequest, oci, package, pins
from genx_runtimes.packaging.pins import list_pins
from genx_runtimes.version import __version__

# Nothing can be imported but what is pinned, Python's own modules, and genx in the context.
SERVER = """
import re, sys
from importlib.metadata import packages_distributions
pinned = sys.argv[1].split()
def is_pinned(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower() in pinned
lacking = {top for top, of in packages_distributions().items() if not any(map(is_pinned, of))}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in lacking - {"genx_cli", "genx_runtimes"}:
            raise ModuleNotFoundError(f"{name} is not pinned", name=name)
sys.meta_path.insert(0, Block())
import genx_cli.commands.serve, genx_runtimes.serve.run, genx_runtimes.serve.images
import uvicorn.protocols.http.httptools_impl, uvloop
from genx_runtimes import open_bundle
with open_bundle(sys.argv[2]).sampler() as sampler:
    print(len(next(sampler.sample(2)).images()), genx_cli.__file__, genx_runtimes.__file__)
"""


def write(bundle: Bundle, path: Path, **options: object) -> Packaged:
    return package(bundle, "oci", PackageRequest(path=path, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The context of the tiny bundle, not to be changed."""
    path = tmp_path_factory.mktemp("oci") / "context"
    write(open_bundle(Path(__file__).parents[1] / "data" / "tiny.genx"), path)
    return path


def test_the_dockerfile(context: Path) -> None:
    instructions = read_instructions(context / "Dockerfile")
    minor = ".".join(map(str, sys.version_info[:2]))
    for image in (rest.split(" AS ")[0] for word, rest in instructions if word == "FROM"):
        assert re.fullmatch(rf"python:{re.escape(minor)}\.\d+-slim-bookworm", image)
    copied = [rest.split()[0] for word, rest in instructions if word == "COPY"]
    own = [name for name in copied if not name.startswith("--from=")]
    assert {path.name for path in context.iterdir()} == {"Dockerfile", *own}
    last = dict(instructions)
    assert last["USER"] == "10001"
    assert last["EXPOSE"] == "8000"
    assert json.loads(last["ENTRYPOINT"]) == ["python", "-m", "genx_cli"]
    assert json.loads(last["CMD"]) == [
        *("serve", "/bundle/tiny.genx", "--precision", "fp32"),
        *("--host", "0.0.0.0", "--port", "8000"),
    ]
    check = json.loads(last["HEALTHCHECK"].split(" CMD ")[1])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "check", "exec")
    assert "http://127.0.0.1:8000/v2/health/ready" in check[2]
    runs = " ".join(rest for word, rest in instructions if word == "RUN")
    assert "--no-deps" in runs
    assert "pip --python /opt/genx/bin/python check" in runs


def test_the_bundle_is_whole_and_engines_stay_behind(
    context: Path, tiny: Bundle, tiny_copy: Path, tmp_path: Path
) -> None:
    copy = open_bundle(context / "bundle" / "tiny.genx")
    copy.check_files()
    assert copy.digest == tiny.digest
    (tiny_copy / "engines").mkdir()
    (tiny_copy / "engines" / "big.engine").touch()
    write(open_bundle(tiny_copy), tmp_path / "context")
    assert not list((tmp_path / "context").rglob("engines/*.engine"))


def test_the_server_imports_nothing_but_what_is_pinned(context: Path) -> None:
    lines = (context / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines)
    assert {name: version(name) for name in pinned} == pinned
    assert not {"torch", "onnx", "genx"} & set(pinned)
    bundle = context / "bundle" / "tiny.genx"
    done = subprocess.run(
        [sys.executable, "-B", "-c", SERVER, " ".join(pinned), str(bundle)],
        env={**os.environ, "PYTHONPATH": str(context / "genx")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    drawn, *places = done.stdout.split()
    assert drawn == "2"
    assert all(Path(place).is_relative_to(context) for place in places)
    assert not list(context.rglob("__pycache__"))


def test_pages_come_along(context: Path) -> None:
    page = context / "genx" / "genx_runtimes" / "serve" / "page"
    assert {path.suffix for path in page.iterdir()} >= {".html", ".js"}


def test_pins_of_extras_and_of_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def __init__(self, version: str, *requires: str) -> None:
            self.version, self.requires = version, requires

    here = {
        "app": Found(
            "1",
            'Web_Kit[Fast]>=2; extra == "all" or extra == "serve"',
            "plain",
            'torch; extra == "big"',
        ),
        "web-kit": Found("2.1", 'loop ; extra == "fast"', 'old; python_version < "3"', "app"),
        "plain": Found("3", 'gone; sys_platform == "win32" and extra == "x"'),
        "loop": Found("4"),
    }

    def find(name: str) -> Found:
        if name not in here:
            raise PackageNotFoundError(name)
        return here[name]

    monkeypatch.setattr(pins, "distribution", find)
    assert list_pins("app") == ("plain==3",)
    assert list_pins("app", "serve") == ("loop==4", "plain==3", "web-kit==2.1")
    del here["loop"]
    with pytest.raises(BackendUnavailableError, match="loop is not installed here"):
        list_pins("app", "serve")


def test_a_python_without_an_image(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oci, "_PYTHONS", {(3, 9): "3.9.1"})
    with pytest.raises(BackendUnavailableError, match=r"no base image of Python .* knows 3\.9"):
        write(tiny, tmp_path / "context")


def test_a_context_is_replaced_as_a_whole_and_nothing_else_is(tiny: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "context"
    made = write(tiny, path)
    assert made.names == ("genx-tiny",)
    assert f"genx {__version__} is in the context itself" in made.notes[0]
    (path / "genx" / "old.py").touch()
    with pytest.raises(InputError, match="exists already; --force replaces it"):
        write(tiny, path)
    write(tiny, path, force=True)
    assert not (path / "genx" / "old.py").exists()
    (tmp_path / "home").mkdir()
    with pytest.raises(InputError, match="home exists and is no container context"):
        write(tiny, tmp_path / "home", force=True)
    assert {p.name for p in tmp_path.iterdir()} == {"context", "home"}
