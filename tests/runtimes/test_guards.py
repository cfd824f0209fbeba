"""Promises about what the runtime does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import genx_runtimes

HEAVY = ("numpy", "onnxruntime", "PIL", "msgspec", "torch", "onnx")
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnx_ir", "onnxscript", "genx_export"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""


def _run(code: str) -> str:
    path = [str(Path(genx_runtimes.__file__).parents[1])]
    code = f"import sys; sys.path[:0] = {path!r}\n{code}"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    out = _run(
        "import genx_runtimes, genx_runtimes.errors\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert out == "[]\n"


def test_sampling_and_verifying_need_neither_torch_nor_onnx(tiny_bundle: Path) -> None:
    out = _run(
        BLOCK + "from genx_runtimes import open_bundle\n"
        "from genx_runtimes.verify import verify_bundle\n"
        f"bundle = open_bundle({str(tiny_bundle)!r})\n"
        "with bundle.sampler() as sampler:\n"
        "    print(sum(len(batch.images()) for batch in sampler.sample(20)))\n"
        "print(verify_bundle(bundle).passed)\n"
    )
    assert out == "20\nTrue\n"


def test_public_names() -> None:
    for name in genx_runtimes.__all__:
        assert getattr(genx_runtimes, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        genx_runtimes.nothing  # noqa: B018
