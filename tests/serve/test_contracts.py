"""What a client is told of a bundle, and sound as samples."""

from __future__ import annotations

import base64
import io
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")

from genx_runtimes import open_bundle
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.sampler import Batch
from genx_runtimes.serve.contracts import describe_contract
from genx_runtimes.serve.page import PAGE_FILES
from genx_runtimes.serve.repository import Entry
from genx_runtimes.serve.settings import Limits, ServeSettings

DATA = Path(__file__).parents[1] / "data"
PAGE = Path(__file__).parents[2] / "runtimes" / "genx_runtimes" / "serve" / "page"


@pytest.mark.parametrize(
    ("name", "truncates", "takes"),
    [
        ("tiny", True, []),
        ("tiny_codes", False, []),
        ("tiny_recurrent", True, ["length"]),
        ("tiny_tokens", False, ["length", "prompt", "temperature", "top_k", "top_p"]),
        ("tiny_diffusion", False, ["guidance", "solver", "steps"]),
    ],
)
def test_what_a_bundle_takes(name: str, truncates: bool, takes: list[str]) -> None:
    entry = Entry(bundle=open_bundle(DATA / f"{name}.genx"))
    found = describe_contract(entry, ServeSettings())
    assert (found["truncates"], found["takes"]) == (truncates, takes)
    assert found["reason"] == "not loaded yet"


def test_limits_and_solvers() -> None:
    entry = Entry(bundle=open_bundle(DATA / "tiny_tokens.genx"))
    settings = ServeSettings(max_batch=4, limits=Limits(n=9, length=10))
    assert describe_contract(entry, settings)["limits"] == {
        "n": 9,
        "steps": 1000,
        "length": 10,
        "stream": 4,
    }
    entry = Entry(bundle=open_bundle(DATA / "tiny_diffusion.genx"))
    found = describe_contract(entry, ServeSettings())
    assert found["solvers"] == ["ddpm", "ddim", "euler", "heun", "dpmpp_2m"]
    assert found["sampler"]["guidance"]["default"] == 2.0  # type: ignore[index]


def test_sound_in_json_is_a_wav_file_each() -> None:
    from genx_runtimes.serve import wire

    spec = OutputSpec(name="x", kind="audio", range=(-1.0, 1.0), sample_rate=8000)
    output = np.linspace(-1, 1, 2 * 2 * 50, dtype=np.float32).reshape(2, 2, 50)
    batch = Batch(start=0, feeds={}, output=output, spec=spec)
    for item, sound in zip(wire.list_items(batch), batch.waves(), strict=True):
        with wave.open(io.BytesIO(base64.b64decode(item))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 2, 50)
            assert file.readframes(50) == sound.astype("<i2").tobytes()


def test_every_file_of_the_page_is_served() -> None:
    files = {path.name for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js")}
    assert {name for name, _ in PAGE_FILES.values()} == files
