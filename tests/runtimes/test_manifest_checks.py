"""Manifests come from strangers: what is wrong with one is told in a line, before it is used."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from genx_runtimes.errors import FormatVersionError, ManifestError
from genx_runtimes.manifest import MAX_MANIFEST_BYTES, decode_manifest
from genx_runtimes.sampler_checks import MAX_STEPS, MAX_VALUES

DATA = Path(__file__).parents[1] / "data"
Fields = dict[str, Any]
HUGE = 2**62


def _read(name: str) -> Fields:
    fields: Fields = json.loads((DATA / f"{name}.genx" / "manifest.json").read_text())
    return fields


def _port(name: str, *shape: int, dtype: str = "float32", role: str = "loop") -> Fields:
    return {"name": name, "dtype": dtype, "shape": ["batch", *shape], "role": role}


def _make_pixels() -> Fields:
    """Return a manifest of grey images of 6 x 5 in 4 levels, with a label."""
    label = _port("label", dtype="int64", role="prior")
    step = {
        "name": "step",
        "inputs": [_port("pixel", 1, 1, 1), _port("features", 7), _port("h", 3), label],
        "outputs": [_port("logits", 1, 4, role="output"), _port("next_h", 3, role="output")],
    }
    row = {
        "name": "row",
        "inputs": [_port("above", 1, 2, 5), _port("inside", 1, 2, 1), label],
        "outputs": [_port("features", 7, 5, role="output")],
    }
    return _replace(
        _read("tiny"),
        components=[step, row],
        priors=[{"kind": "categorical", "name": "label", "classes": 4}],
        sampler={
            "kind": "pixels",
            "component": "step",
            "row": "row",
            "states": [{"name": "h", "shape": [3]}],
            "inside": "inside",
            "shape": [1, 6, 5],
            "window": 2,
            "levels": 4,
        },
    )


def _make_translator() -> Fields:
    """Return a manifest that doubles grey tiles of 8 x 6, with noise."""
    component = {
        "name": "translator",
        "inputs": [_port("photo", 1, 8, 6, role="data"), _port("z", 3, role="prior")],
        "outputs": [_port("image", 3, 16, 12, role="output")],
    }
    return _replace(
        _read("tiny"),
        components=[component],
        priors=[{"kind": "normal", "name": "z", "shape": [3]}],
        sampler={
            "kind": "translate",
            "component": "translator",
            "image": "photo",
            "tile": [1, 8, 6],
            "range": [0.0, 1.0],
            "overlap": 2,
            "scale": 2,
        },
    )


def _make_latent() -> Fields:
    """Return the tiny diffusion model with a decoder that takes the label too."""
    fields = _read("tiny_diffusion")
    decoder = {
        "name": "decoder",
        "inputs": [_port("latent", 1, 4, 4), _port("label", dtype="int64", role="prior")],
        "outputs": [_port("image", 1, 8, 8, role="output")],
    }
    fields["sampler"]["decoder"] = "decoder"
    return _replace(fields, components=[*fields["components"], decoder])


def _make_audio() -> Fields:
    fields = _read("tiny")
    fields["output"] = {"name": "image", "kind": "audio", "range": [-1, 1], "sample_rate": 8000}
    return fields


def _replace(fields: Fields, **changed: Any) -> Fields:
    graphs = {c["name"]: fields["golden"]["file"] for c in changed["components"]}
    variants = [{**fields["variants"][0], "graphs": graphs}]
    return {**fields, "variants": variants, **changed}


MAKERS: dict[str, Callable[[], Fields]] = {
    "pixels": _make_pixels,
    "translate": _make_translator,
    "latent": _make_latent,
    "audio": _make_audio,
    **{
        n: lambda n=n: _read(f"tiny_{n}")  # type: ignore[misc]
        for n in ("recurrent", "tokens", "diffusion", "codes", "vae")
    },
}

STEP, ROW = "components.0", "components.1"
# Whose manifest; the place and what is put there; what is said of it.
BROKEN: list[tuple[str, str, object, str]] = [
    ("recurrent", "sampler.length", 0, "length is 0, expected 1 or more"),
    ("recurrent", "sampler.length", -7, "length is -7, expected 1 or more"),
    ("recurrent", "sampler.length", HUGE, f"length is {HUGE}, expected {MAX_STEPS} at most"),
    ("recurrent", "sampler.length", 8, r"'noise' of shape \[7, 3\], whose first axis .* length, 8"),
    ("recurrent", "sampler.sequences", ["nose"], "sequences has 'nose', which is no prior"),
    ("recurrent", "sampler.sequences", ["noise"] * 2, r"\['noise', 'noise'\] have a name twice"),
    ("recurrent", "sampler.axis", -1, "axis is -1, expected 0 or more"),
    ("recurrent", "sampler.axis", 2, "axis is 2, expected 0 to 1, the element's axes"),
    ("recurrent", "sampler.states.0.shape", [-4], r"state 'h' has shape \[-4\], expected sizes"),
    ("recurrent", "sampler.states.0.shape", [HUGE], "more than 268435456 values a sample"),
    ("recurrent", "sampler.states.0.shape", [5], r"input 'h' of 'step' is float32 \(4\) a sample"),
    ("recurrent", "sampler.states.0.name", "g", "input 'h' of 'step' is fed by no prior, and not"),
    ("recurrent", "sampler.states.0.grows", 0, "state 'h' cannot grow to 7 along an axis"),
    ("recurrent", "sampler.states.0.grows", -1, "state 'h' cannot grow to 7"),
    ("recurrent", "sampler.states", [{"name": "h", "shape": [4]}] * 2, "have a name twice"),
    ("recurrent", f"{STEP}.outputs.1.name", "h2", "output 'next_h' is no output of 'step'"),
    ("recurrent", f"{STEP}.outputs.1.shape", ["batch", 5], r"'next_h' of 'step' is float32 \(5\)"),
    ("recurrent", f"{STEP}.outputs.0.shape", ["batch", MAX_VALUES], "length is 7: 'rows' would"),
    ("recurrent", f"{STEP}.outputs.0.name", "r", "output 'rows' is no output of 'step'"),
    ("recurrent", "priors.0.shape", [7, 2], r"input 'noise' of 'step' is float32 \(3\) a sample"),
    ("recurrent", "priors.0.shape", [7, -3], r"prior 'noise' has shape \[7, -3\], expected sizes"),
    ("recurrent", "priors.0.shape", [HUGE, HUGE], "prior 'noise' has shape .*, more than"),
    (
        "recurrent",
        "priors.0",
        {"kind": "categorical", "name": "noise", "classes": 3, "encoding": "one_hot"},
        "sequences has 'noise', one class a sample: only a prior with a shape has",
    ),
    ("tokens", "sampler.length", 0, "length is 0, expected 1 or more"),
    ("tokens", "sampler.length", HUGE, "length is .*, expected 1048576 at most"),
    ("tokens", "sampler.length", 13, "state 'cache' cannot grow to 13 along an axis"),
    ("tokens", "sampler.start", -1, "token -1 of start or stop is not in a vocabulary of 6"),
    ("tokens", "sampler.stop", [6], "token 6 of start or stop is not in a vocabulary of 6"),
    ("tokens", "sampler.temperature", -0.5, "temperature is -0.5, expected 0 or more"),
    ("tokens", "sampler.token", "position", "the tokens loop gives two things to one input"),
    ("tokens", "sampler.position", "place", "input 'position' of 'step' is fed by no prior"),
    ("tokens", f"{STEP}.inputs.0.dtype", "float32", r"'token' of 'step' is float32 \(\) a sample"),
    ("tokens", f"{STEP}.outputs.0.shape", ["batch"], "the vocabulary has 6 tokens, the logits"),
    ("tokens", f"{STEP}.outputs.1.shape", ["batch", 12, 4], r"'next_cache' of 'step' .* \(1, 4\)"),
    ("tokens", f"{STEP}.outputs", [], "component 'step' has no outputs"),
    ("pixels", "sampler.shape", [1, 0, 5], r"shape has shape \[1, 0, 5\], expected sizes of 1"),
    ("pixels", "sampler.shape", [1, HUGE, 5], "values a sample"),
    ("pixels", "sampler.shape", [1, 6, 4], r"input 'above' of 'row' is float32 \(1, 2, 5\)"),
    ("pixels", "sampler.window", 0, "window is 0, expected 1 or more"),
    ("pixels", "sampler.window", 3, r"'above' of 'row' .*, expected float32 \(1, 3, 5\)"),
    ("pixels", "sampler.window", HUGE, "window is .*, expected 1048576 at most"),
    ("pixels", "sampler.levels", 1, "levels is 1, expected 2 or more"),
    ("pixels", "sampler.levels", HUGE, "levels is .*, expected 65536 at most"),
    ("pixels", "sampler.levels", 5, r"'logits' of 'step' is float32 \(1, 4\) .* \(1, 5\)"),
    ("pixels", "sampler.inside", None, "input 'inside' of 'row' is fed by no prior, and not by"),
    ("pixels", "sampler.row", "step", "the sampler runs one component in two places"),
    ("pixels", "sampler.row", "rows", "the sampler runs component 'rows', not present"),
    ("pixels", f"{ROW}.outputs.0.shape", ["batch", 6, 5], r"'features' of 'row' .* \(7, 5\)"),
    ("pixels", "output", {"name": "i", "kind": "tensor"}, "pixels need an output with a range"),
    ("diffusion", "sampler.steps", 0, "steps is 0, expected 1 or more"),
    ("diffusion", "sampler.steps", HUGE, "steps is .*, expected 1048576 at most"),
    ("diffusion", "sampler.steps", 101, "steps is 101, the model was trained with 100"),
    ("diffusion", "sampler.schedule.train_steps", -1, "needs train_steps, 1 or more"),
    ("diffusion", "sampler.schedule.train_steps", HUGE, "train_steps is .*, expected 1048576 at"),
    ("diffusion", "sampler.schedule.beta_end", 2, "betas are above 0 and below 1"),
    ("diffusion", "sampler.guidance.null", -1, "guidance has null -1, expected a class"),
    ("diffusion", "sampler.guidance.condition", "x", "guidance needs 'x', which is no categorical"),
    ("diffusion", "sampler.x", "y", "diffusion starts from 'y', which is no normal prior"),
    ("diffusion", "sampler.time", "label", "prior 'label' is called like an input of 'denoiser'"),
    ("diffusion", "sampler.time", "x", "prior 'x' is called like an input of 'denoiser' that the"),
    ("diffusion", "sampler.clip", [1, -1], r"clip is \[1.0, -1.0\], expected low < high"),
    ("diffusion", "priors.0.shape", [1, 4, 5], r"'x' of 'denoiser' .*expected float32 \(1, 4, 5\)"),
    ("diffusion", f"{STEP}.outputs.0.shape", ["batch", 4, 4], "'prediction' of 'denoiser' is"),
    ("diffusion", f"{STEP}.inputs.1.shape", ["batch", 1], r"'time' .*, expected float32 \(\)"),
    ("latent", "sampler.decoder", "", "the sampler runs component '', not present"),
    ("latent", "sampler.latent", "z", "input 'latent' of 'decoder' is fed by no prior"),
    ("latent", "sampler.latent", "label", "prior 'label' is called like an input of 'decoder'"),
    ("latent", f"{ROW}.inputs.0.shape", ["batch", 4], r"'latent' of 'decoder' .*\(1, 4, 4\)"),
    ("latent", f"{ROW}.outputs.0.name", "picture", "output 'image' is no output of 'decoder'"),
    ("translate", "sampler.scale", 0, "scale is 0, expected 1 or more"),
    ("translate", "sampler.scale", 3, r"'image' of 'translator' .*, expected .* \(\?, 24, 18\)"),
    ("translate", "sampler.overlap", 4, "overlap is 4, expected 0 to 3, half a tile"),
    ("translate", "sampler.tile", [1, -8, 6], "tile is 1 x -8 x 6, expected 1, 3 or 4 channels"),
    ("translate", "sampler.tile", [1, HUGE, HUGE], "tile has shape .*, more than 268435456 values"),
    ("translate", "sampler.tile", [1, 6, 8], r"input 'photo' of 'translator' is .* \(1, 8, 6\)"),
    ("translate", "sampler.range", [1, 1], "range is 1 to 1, expected low < high"),
    ("codes", "priors.0.classes", HUGE, "prior 'category': .* classes, expected 1 to 1048576"),
    ("codes", "priors.0.classes", 4, r"'category' of 'generator' .*, expected float32 \(4\)"),
    ("codes", "priors.1.low", 1.0, r"prior 'style' is uniform in 1\.\.1, expected low < high"),
    ("codes", "priors.1.shape", [0], r"prior 'style' has shape \[0\], expected sizes of 1 or more"),
    ("vae", f"{ROW}.name", "loop", "a component is called 'loop', which stands for the sampling"),
    ("vae", f"{ROW}.name", "../up", "component '../up' has characters other than"),
    ("vae", f"{ROW}.name", "decoder", "component 'decoder' is there twice"),
    ("vae", f"{ROW}.inputs", [], "component 'encoder' has no inputs"),
    ("vae", f"{ROW}.inputs.0.dtype", "object", "'image' of 'encoder' has dtype 'object', expected"),
    ("vae", f"{ROW}.inputs.0.shape", [1, 8], r"'image' of 'encoder' .*, expected 'batch' first"),
    ("vae", f"{ROW}.inputs.0.shape", [], "'image' of 'encoder' has shape .*, expected 'batch'"),
    ("vae", f"{ROW}.inputs.0.shape", ["batch", -1], "'image' .* expected sizes of 1 or more"),
    ("vae", f"{ROW}.outputs.0.name", "log_variance", r"has outputs \['log_variance'\] twice"),
    ("vae", "variants.0.name", "a/b", "variant 'a/b' has characters other than"),
    ("vae", "golden.count", 0, "golden has count 0, expected a multiple of the smallest batch, 1"),
    ("vae", "golden.count", -8, "golden has count -8, expected a multiple"),
    ("vae", "golden.seed", -1, r"golden has seed -1, expected 0 to 2\^64 - 1"),
    ("vae", "batch.max", HUGE, "is not a range from 1 to 2147483647"),
    ("vae", "batch.min", 3, "golden has count 8, expected a multiple of the smallest batch, 3"),
    ("audio", "output.sample_rate", 2**31 - 1, "sample_rate in Hz, 1 to 1000000, got 2147483647"),
    ("audio", "output.sample_rate", 0, "sample_rate in Hz, 1 to 1000000, got 0"),
    ("recurrent", "output.range", [1, 0], r"a sequence output needs a range \[low, high\]"),
]


def _change(fields: Fields, path: str, value: object) -> Fields:
    changed = copy.deepcopy(fields)
    *parents, last = path.split(".")
    place: Any = changed
    for part in parents:
        place = place[int(part) if part.isdecimal() else part]
    place[int(last) if isinstance(place, list) else last] = value
    return changed


@pytest.mark.parametrize("name", MAKERS)
def test_the_manifests_that_are_broken_here_are_whole(name: str) -> None:
    decode_manifest(json.dumps(MAKERS[name]()).encode())


@pytest.mark.parametrize(("name", "path", "value", "message"), BROKEN)
def test_what_is_wrong_is_told_in_a_line(name: str, path: str, value: object, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        decode_manifest(json.dumps(_change(MAKERS[name](), path, value)).encode())
    assert "\n" not in str(caught.value)


def _list_places(fields: Any, path: str = "") -> list[str]:
    """Return the places of all values in a manifest."""
    items = fields.items() if isinstance(fields, dict) else enumerate(fields)
    found = []
    for key, value in items:
        place = f"{path}.{key}" if path else str(key)
        found.append(place)
        if isinstance(value, dict | list):
            found += _list_places(value, place)
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_whatever_stands_in_a_place_nothing_but_a_manifest_error_comes_of_it(name: str) -> None:
    fields = MAKERS[name]()
    values: tuple[object, ...] = (None, -1, 0, HUGE, -0.5, "", "loop", [], [0], [-1], [HUGE], {})
    for place, value in itertools.product(_list_places(fields), values):
        data = json.dumps(_change(fields, place, value)).encode()
        assert len(data) < MAX_MANIFEST_BYTES
        with suppress(ManifestError, FormatVersionError):
            decode_manifest(data)
