"""The translator on a stand-in for an engine, which inverts and doubles what it is fed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import (
    BatchBounds,
    ComponentSpec,
    Manifest,
    NormalPrior,
    OutputSpec,
    TensorSpec,
)
from genx_runtimes.sampling_specs import TranslateSpec
from genx_runtimes.session import Array, Closing
from genx_runtimes.translate import Translator


class _Doubling(Closing):
    def __init__(self, component: ComponentSpec) -> None:
        self.inputs, self.outputs = component.inputs, component.outputs
        self.batches: list[int] = []
        self.drawn: list[Array] = []

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.batches.append(len(feeds["image"]))
        self.drawn.append(feeds["z"])
        return {"made": -feeds["image"].repeat(2, 2).repeat(2, 3)}

    def close(self) -> None:
        pass


def _describe(tiny: Path, bounds: tuple[int, int] = (1, 64), kind: str = "image") -> Manifest:
    image = TensorSpec(name="image", dtype="float32", shape=("batch", 1, 8, 8), role="data")
    z = TensorSpec(name="z", dtype="float32", shape=("batch", 2), role="prior")
    made = TensorSpec(name="made", dtype="float32", shape=("batch", 1, 16, 16), role="output")
    return msgspec.structs.replace(
        open_bundle(tiny).manifest,
        components=(ComponentSpec(name="net", inputs=(image, z), outputs=(made,)),),
        batch=BatchBounds(min=bounds[0], max=bounds[1]),
        priors=(NormalPrior(name="z", shape=(2,)),),
        output=OutputSpec(name="made", kind=kind, range=(-1.0, 1.0)),
        sampler=TranslateSpec(
            component="net", image="image", tile=(1, 8, 8), range=(-1.0, 1.0), overlap=2, scale=2
        ),
    )


@pytest.mark.parametrize(
    ("bounds", "batch", "batches"),
    [((1, 64), None, [12]), ((1, 64), 5, [5, 5, 2]), ((4, 8), None, [8, 4]), ((5, 5), 5, [5] * 3)],
)
def test_batches_of_tiles(
    tiny_bundle: Path, bounds: tuple[int, int], batch: int | None, batches: list[int]
) -> None:
    manifest = _describe(tiny_bundle, bounds)
    session = _Doubling(manifest.components[0])
    pixels = np.random.RandomState(0).randint(0, 256, (17, 25, 1)).astype(np.uint8)
    done: list[int] = []
    with Translator(manifest, session, batch=batch) as translator:
        made = translator.translate(pixels, seed=3, index=7, progress=done.append)
    np.testing.assert_array_equal(made, 255 - pixels.repeat(2, 0).repeat(2, 1))
    assert session.batches == batches
    assert sum(done) == 12
    assert len({row.tobytes() for drawn in session.drawn for row in drawn}) == 1


def test_what_is_no_translator(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="tiny makes samples, it does not translate pictures"):
        open_bundle(tiny_bundle).translator()
    manifest = _describe(tiny_bundle, kind="audio")
    with pytest.raises(InputError, match="tiny makes no images of 8 bits a channel"):
        Translator(manifest, _Doubling(manifest.components[0]))
