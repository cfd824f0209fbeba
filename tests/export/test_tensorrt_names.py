"""Every name of TensorRT in the code exists in the versions that it is meant for.

The bindings install without TensorRT; they import once the libraries that they load are there, for
which empty ones are compiled.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tensorrt_rtx
from tests.export.tensorrt_names import OBJECTS, SPELT, find_missing, list_names

ENGINES = Path(__file__).parents[2] / "runtimes" / "genx_runtimes" / "engines"
RTX_ONLY = ENGINES / "rtx.py"
# Where "engine" and "settings" are genx's own records.
OWN = ("build.py", "build_bundle.py", "open.py", "store.py", "settings.py", "sidecar.py")
# Of genx's Engine, which the code also calls an engine.
OWN_MEMBERS = {"ICudaEngine.sidecar", "ICudaEngine.path", "ICudaEngine.data"}
FUNCTIONS = """
createInferBuilder_INTERNAL createInferRuntime_INTERNAL createInferRefitter_INTERNAL
createNvOnnxParser_INTERNAL createNvOnnxParserRefitter_INTERNAL getPluginRegistry
getBuilderPluginRegistry getNvOnnxParserVersion initLibNvInferPlugins
"""
VERSIONS = ("10.3.0", "10.13.3.9", "11.4.0.106")


def names() -> list[str]:
    """The names that both TensorRTs must have."""
    sources = [p for p in ENGINES.glob("*.py") if p != RTX_ONLY and p.name not in OWN]
    shared = [name for name in OBJECTS if name not in ("settings", "kernels")]
    return [*(n for n in list_names(sources, shared) if n not in OWN_MEMBERS), *SPELT]


def test_the_code_is_read() -> None:
    found = names()
    for expected in (
        "BuilderFlag.TF32",
        "Builder.build_serialized_network",
        "IBuilderConfig.set_timing_cache",
        "ICudaEngine.create_execution_context",
        "IExecutionContext.execute_async_v3",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "OnnxParser.parse",
        "Runtime.deserialize_cuda_engine",
    ):
        assert expected in found
    assert len(found) > 50


def test_tensorrt_rtx_has_all_names() -> None:
    only = list_names([RTX_ONLY], ["settings", "kernels", "config", "engine"])
    assert "IRuntimeConfig.set_runtime_cache" in only
    assert list(find_missing(tensorrt_rtx, [*names(), *only, "NoSuchName"])) == ["NoSuchName"]


@pytest.fixture(scope="module")
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one version's bindings and the libraries that they load."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make stand-in libraries with")
    folder = tmp_path_factory.mktemp("bindings")
    package = f"tensorrt-cu12-bindings=={request.param}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d"]
    done = subprocess.run(
        [*command, str(folder), package], capture_output=True, text=True, check=False, timeout=300
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"{package} cannot be had here: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(folder)
    source = folder / "stub.c"
    source.write_text(
        "".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS.split())
    )
    major = request.param.partition(".")[0]
    for library in ("libnvinfer", "libnvonnxparser", "libnvinfer_plugin"):
        name = f"{library}.so.{major}"
        make = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source]
        subprocess.run(make, check=True)
    return folder


@pytest.mark.parametrize("bindings", VERSIONS, indirect=True)
def test_bindings_have_all_names(bindings: Path) -> None:
    (package,) = (p.parent.name for p in bindings.glob("tensorrt*/__init__.py"))
    paths = [str(bindings), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("tensorrt_names.py"), package],
        input=json.dumps([*names(), "NoSuchName"]),
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(bindings),
            "PYTHONPATH": os.pathsep.join(paths),
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == ["NoSuchName"]
