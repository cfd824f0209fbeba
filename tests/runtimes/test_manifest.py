from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genx_runtimes.errors import FormatVersionError, ManifestError
from genx_runtimes.manifest import CategoricalPrior, decode_manifest, encode_manifest

Change = Callable[[dict[str, Any]], None]


def test_decoding_and_encoding_are_inverse(any_bundle: Path) -> None:
    data = (any_bundle / "manifest.json").read_bytes()
    assert encode_manifest(decode_manifest(data)) == data


def test_fields_that_are_not_known_are_ignored(tiny_bundle: Path) -> None:
    raw = json.loads((tiny_bundle / "manifest.json").read_text())
    raw["later"] = {"more": 1}
    raw["output"]["later"] = 2
    assert decode_manifest(json.dumps(raw).encode()).name == "tiny"


def test_priors_keep_their_kind(tiny_bundle: Path) -> None:
    manifest = decode_manifest((tiny_bundle / "manifest.json").read_bytes())
    assert isinstance(manifest.priors[1], CategoricalPrior)
    assert [p.kind for p in manifest.priors] == ["normal", "categorical"]


def test_a_newer_format_is_refused_with_the_way_out(tiny_bundle: Path) -> None:
    raw = json.loads((tiny_bundle / "manifest.json").read_text())
    raw["format_version"] = 2
    raw["components"] = "of another shape altogether"
    with pytest.raises(FormatVersionError) as caught:
        decode_manifest(json.dumps(raw).encode())
    assert str(caught.value) == (
        "the bundle has format version 2, this genx reads up to 1; pip install --upgrade genx"
    )


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{", b'"text"', b"{}"])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError, match=r"manifest.json is not a genx manifest"):
        decode_manifest(data)


def _set(path: str, value: object) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = manifest
        for part in parents:
            place = place[int(part) if part.isdecimal() else part]
        place[int(last) if last.isdecimal() else last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format", "other"), "format is 'other', expected 'genx-bundle'"),
        (_set("format_version", 0), "format_version is 0, expected 1 or more"),
        (_set("batch.min", "1"), r"Expected `int`, got `str` - at `\$.batch.min`"),
        (_set("batch.min", 0), r"batch 0..16 is not a range from 1"),
        (_set("batch.min", 17), r"batch 17..16 is not a range"),
        (_set("name", "a/b"), "name 'a/b' has characters other than"),
        (_set("priors.0.kind", "cauchy"), "Invalid value 'cauchy'"),
        (_set("priors.0.name", "x"), r"priors \['x', 'label'\] do not match the inputs"),
        (_set("priors.1.classes", 3), "prior 'label': 4 labels, 3 classes"),
        (_set("priors.1.classes", 0), "4 labels, 0 classes"),
        (
            _set("priors.0", {"kind": "constant", "name": "z", "value": 2, "low": 0, "high": 1}),
            "prior 'z': 2 is not in 0..1",
        ),
        (_set("sampler.component", "x"), "the sampler runs component 'x', not present"),
        (_set("output.name", "x"), "output 'x' is no output of 'generator'"),
        (_set("output.range", [1, -1]), r"needs a range \[low, high\] with low < high"),
        (_set("output.range", None), r"needs a range"),
        (
            _set("output.kind", "audio"),
            "an audio output needs a sample_rate in Hz, 1 to 1000000, got None",
        ),
        (_set("output.kind", "text"), "a text output needs a vocabulary"),
        (_set("output.columns", ["a", "a"]), r"columns \['a', 'a'\] have a name twice"),
        (_set("output.bits", 12), "Invalid enum value 12"),
        (_set("variants", []), "there is no variant"),
        (_set("variants.0.graphs", {}), r"has graphs for \[\], expected \['generator'\]"),
        (lambda m: m.pop("golden"), "missing required field `golden`"),
    ],
)
def test_contradictions_are_named(tiny_bundle: Path, change: Change, message: str) -> None:
    raw = json.loads((tiny_bundle / "manifest.json").read_text())
    change(raw)
    with pytest.raises(ManifestError, match=message):
        decode_manifest(json.dumps(raw).encode())
