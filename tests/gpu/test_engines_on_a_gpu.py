"""The real engines on a real GPU: `pytest -m gpu tests/gpu`. Needs no torch; not yet run on a GPU.

Bundles are those of tests/data, and of the folder in $GENX_GPU_BUNDLES where it is set.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from genx_runtimes.backends.onnxruntime import list_providers
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.cuda import open_cuda
from genx_runtimes.engines.build_bundle import build_bundle
from genx_runtimes.engines.flavours import FLAVOURS
from genx_runtimes.engines.settings import BuildSettings, parse_batch
from genx_runtimes.errors import BackendUnavailableError
from genx_runtimes.session import SessionOptions
from genx_runtimes.verify import verify_bundle

pytestmark = pytest.mark.gpu

DATA = Path(__file__).parents[1] / "data"
MORE = os.environ.get("GENX_GPU_BUNDLES")
BUNDLES = [*sorted(DATA.glob("*.genx")), *(sorted(Path(MORE).glob("*.genx")) if MORE else [])]
TARGETS = [flavour.name for flavour in FLAVOURS if flavour.is_installed()]
SEEDS = 6


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    """Fail, not skip: whoever asks for this suite wants it to run."""
    open_cuda()
    assert TARGETS, "neither tensorrt nor tensorrt_rtx is installed"


@pytest.fixture(params=BUNDLES, ids=lambda path: path.stem)
def bundle(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bundle:
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path / "cache"))
    return open_bundle(shutil.copytree(request.param, tmp_path / request.param.name))


@pytest.mark.parametrize("target", TARGETS)
def test_build_verify_and_draw_the_same(bundle: Bundle, target: str) -> None:
    settings = BuildSettings(target=target, batch=parse_batch(None, bundle.manifest.batch))
    built = list(build_bundle(bundle, settings))
    assert all(each.engine.sidecar.max_error is not None for each in built)
    for variant in {each.engine.sidecar.variant for each in built}:
        for graphs in (True, False):
            options = SessionOptions(cuda_graphs=graphs)
            verify_bundle(bundle, backend=target, precision=variant, options=options).require()
    size = bundle.manifest.batch.min
    with bundle.sampler(backend=target) as one, bundle.sampler() as other:
        n = size * SEEDS
        pairs = zip(one.sample(n, batch=size), other.sample(n, batch=size), strict=True)
        for mine, theirs in pairs:
            np.testing.assert_allclose(mine.output, theirs.output, atol=1e-3)


@pytest.mark.parametrize("target", TARGETS)
def test_memory_is_given_back(bundle: Bundle, target: str) -> None:
    from cuda.bindings import runtime

    component = bundle.manifest.sampler.component
    free = []
    for _ in range(4):
        with bundle.session(component, backend=target) as session:
            feeds = {
                s.name: np.zeros((bundle.manifest.batch.min, *s.shape[1:]), s.dtype)
                for s in session.inputs
            }
            session.run(feeds)
        free.append(runtime.cudaMemGetInfo()[1])
    assert free[-1] >= free[1] - 2**20


def test_onnxruntime_on_cuda(bundle: Bundle) -> None:
    if "CUDAExecutionProvider" not in list_providers():
        pytest.skip("this onnxruntime has no CUDA")
    try:
        verify_bundle(bundle, backend="onnxruntime:cuda").require()
    except BackendUnavailableError as err:
        pytest.fail(str(err))
