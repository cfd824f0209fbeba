"""What an output contract may say of what the original model made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from genx_export import export
from genx_export.contract import check_contract, read_output
from genx_runtimes import open_bundle
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import OutputSpec

IMAGE = OutputSpec(name="x", kind="image", range=(0.0, 1.0), layout="NCHW")
ROWS = structs.replace(IMAGE, layout="NHW")
AUDIO = OutputSpec(name="x", kind="audio", range=(-1.0, 1.0), sample_rate=16000)
TABLE = OutputSpec(name="x", kind="table", columns=("a", "b"))
SEQUENCE = OutputSpec(name="x", kind="sequence", columns=("a", "b"))
TEXT = OutputSpec(name="x", kind="text", vocabulary=("a", "b", "c"))
VOXELS = OutputSpec(name="x", kind="voxels")

FITTING = [
    (IMAGE, (2, 1, 4, 4)),
    (IMAGE, (2, 2, 4, 4)),
    (IMAGE, (2, 4, 4, 4)),
    (structs.replace(IMAGE, layout=None), (2, 3, 4, 4)),
    (ROWS, (2, 4, 4)),
    (AUDIO, (2, 1, 100)),
    (AUDIO, (2, 64, 100)),
    (TABLE, (2, 2)),
    (SEQUENCE, (2, 9, 2)),
    (structs.replace(SEQUENCE, columns=()), (2, 9, 7)),
    (VOXELS, (2, 1, 4, 4, 4)),
    (OutputSpec(name="x", kind="tensor"), (2,)),
]


@pytest.mark.parametrize(("contract", "shape"), FITTING)
def test_what_fits(contract: OutputSpec, shape: tuple[int, ...]) -> None:
    assert check_contract(contract, np.zeros(shape, np.float32), given=contract) == []


@pytest.mark.parametrize(
    ("contract", "shape", "message"),
    [
        (IMAGE, (2, 5, 4, 4), r"\(B, 5, 4, 4\), an image has \(B, 1 to 4, H, W\); reshape it in"),
        (IMAGE, (2, 4, 4), r'\(B, 4, 4\), an image .*; --output image:0..1:NHW, or layout = "NHW"'),
        (ROWS, (2, 1, 4, 4), r"has \(B, H, W\) in layout NHW; --output image:0..1:NCHW"),
        (AUDIO, (2, 100), r"\(B, 100\), audio has \(B, 1 to 64 channels, samples\)"),
        (AUDIO, (2, 100, 1), "audio has"),
        (TABLE, (2, 3), "output 'x' has 3 values, the contract names 2 columns"),
        (TABLE, (2, 3, 2), r"a table has \(B, values\)"),
        (SEQUENCE, (2, 9, 1), "output 'x' has 1 values, the contract names 2 columns"),
        (SEQUENCE, (2, 9), r"a sequence has \(B, length, values\)"),
        (VOXELS, (2, 4, 4, 4), r"voxels has \(B, C, D, H, W\)"),
        (TEXT, (2, 9, 1), r"text has \(B, length\)"),
        (TEXT, (2, 9), "output 'x' is float32, text is int64 tokens; return token numbers"),
        (
            structs.replace(AUDIO, sample_rate=None),
            (2, 1, 9),
            "a sample_rate in Hz, 1 to 1000000, got None",
        ),
        (
            structs.replace(AUDIO, sample_rate=0),
            (2, 1, 9),
            "needs a sample_rate in Hz, 1 to 1000000, got 0",
        ),
        (structs.replace(IMAGE, range=None), (2, 1, 4, 4), r"needs a range \[low, high\]"),
        (structs.replace(TEXT, vocabulary=()), (2, 9), "a text output needs a vocabulary"),
        (structs.replace(TABLE, columns=("a", "a")), (2, 2), "have a name twice"),
    ],
)
def test_what_does_not(contract: OutputSpec, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        check_contract(contract, np.zeros(shape, np.float32), given=contract)


def test_tokens_are_those_of_the_vocabulary() -> None:
    assert check_contract(TEXT, np.array([[0, 2]]), given=TEXT) == []
    for tokens in ([[0, 3]], [[-1, 0]]):
        with pytest.raises(SourceError, match=r"has tokens .*, the vocabulary has 3; give"):
            check_contract(TEXT, np.array(tokens), given=TEXT)


@pytest.mark.parametrize(("contract", "beyond"), [(IMAGE, 1.1), (AUDIO, -1.1)])
def test_values_outside_the_range_are_told(contract: OutputSpec, beyond: float) -> None:
    values = np.full((2, 1, 4, 4) if contract is IMAGE else (2, 1, 16), 0.5)
    values.flat[0] = beyond
    (warning,) = check_contract(contract, values, given=contract)
    assert warning.startswith("3.1% of the output lies outside ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"kind": "audio", "samplerate": 8000},
            "unknown field 'samplerate'; did you mean 'sa",
        ),
        ({"kind": "sound"}, "r.toml: output: Invalid enum value 'sound'"),
        ({"kind": "image", "range": [0, 1], "bits": 12}, "r.toml: output: Invalid enum value 12"),
        ({"kind": "audio", "range": [0, 1]}, "r.toml: output: an audio output needs a sample_rate"),
        ({"name": "x"}, "r.toml: output: Object missing required field `kind`"),
        ({"range": [0, 1]}, "r.toml: output: Object missing required field `kind`"),
    ],
)
def test_contracts_that_are_wrong_in_themselves(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_output(fields, "r.toml: output")


MODELS = """
from torch import nn
from genx_export import ModelSpec


class Tones(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 60)

    def forward(self, z):
        return self.linear(z).tanh().view(-1, 2, 30)


def tones():
    output = {"kind": "audio", "range": [-1, 1], "sample_rate": 8000}
    return ModelSpec(module=Tones(), priors={"z": "normal:4"}, output=output)


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.out = nn.Linear(8, 5)

    def step(self, token, position, label, h):
        h = (self.embedding(token) + h + label[:, None]).tanh()
        return self.out(h), h


def steps():
    return ModelSpec(
        module=Steps(),
        family="tokens",
        priors={"label": "categorical:3"},
        output={"name": "text", "kind": "text", "vocabulary": list("abcde")},
        sampler={"states": [{"name": "h", "shape": [8]}], "length": 6, "start": 0},
    )
"""


def test_a_contract_is_spelt_out_in_flags_or_fields(tmp_path: Path) -> None:
    source = tmp_path / "outputs.py"
    source.write_text(MODELS)
    expected = OutputSpec(name="audio", kind="audio", range=(-1.0, 1.0), sample_rate=8000)
    for name, output in (("tones", None), ("Tones", "audio:-1..1:8000")):
        path = tmp_path / f"{name}.genx"
        export(f"{source}:{name}", path, priors=("z=normal:4",), output=output, force=True)
        bundle = open_bundle(path)
        assert bundle.manifest.output == expected
        with bundle.sampler() as sampler:
            assert next(sampler.sample(3)).waves().shape == (3, 30, 2)


def test_a_vocabulary_comes_with_the_model(tmp_path: Path) -> None:
    source = tmp_path / "outputs.py"
    source.write_text(MODELS)
    export(f"{source}:steps", tmp_path / "s.genx")
    with open_bundle(tmp_path / "s.genx").sampler() as sampler:
        (text,) = next(sampler.sample(1)).texts()
    assert len(text) == 6
