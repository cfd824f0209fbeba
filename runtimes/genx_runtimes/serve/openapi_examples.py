"""Examples of requests that the bundles of a server answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from genx_runtimes.manifest import CategoricalPrior, Manifest, OutputKind
from genx_runtimes.sampling_specs import TokensSpec, TranslateSpec

_SEED, _TOKENS = 7, 8
Examples = dict[str, dict[str, Any]]


def give_samples(manifests: Iterable[Manifest]) -> Examples:
    """Return examples for /v1/sample, one for each bundle."""
    return {
        m.name: _example(m, {"n": 4, **_condition(m)}) for m in manifests if not is_translator(m)
    }


def give_images(manifests: Iterable[Manifest]) -> Examples:
    """Return examples for /v1/images/generations, one for each bundle that makes images."""
    return {m.name: _example(m, {"n": 1, **_condition(m)}) for m in _pick(manifests, "image")}


def give_texts(manifests: Iterable[Manifest]) -> Examples:
    """Return examples for /v1/completions, one for each bundle that makes text."""
    found = {}
    for manifest in _pick(manifests, "text"):
        prompt = next((part for part in manifest.output.vocabulary if part), "")
        most = manifest.sampler.length - 2 if isinstance(manifest.sampler, TokensSpec) else _TOKENS
        asked = {"prompt": prompt, "max_tokens": max(1, min(_TOKENS, most))}
        found[manifest.name] = _example(manifest, asked)
    return found


def give_sounds(manifests: Iterable[Manifest]) -> Examples:
    """Return examples for /v1/audio/speech, one for each bundle that makes sound."""
    asked = {"input": "", "voice": "none"}
    return {m.name: _example(m, asked) for m in _pick(manifests, "audio")}


def give_tensors() -> Examples:
    """Return an example for /v2/models/NAME/infer that every sampler takes."""
    inputs = [
        {"name": "seed", "shape": [1], "datatype": "UINT64", "data": [_SEED]},
        {"name": "n", "shape": [1], "datatype": "INT64", "data": [2]},
    ]
    return {"sampler": {"value": {"inputs": inputs}}}


def is_translator(manifest: Manifest) -> bool:
    """Return whether a bundle takes pictures, so that there is nothing to draw."""
    return isinstance(manifest.sampler, TranslateSpec)


def _pick(manifests: Iterable[Manifest], kind: OutputKind) -> list[Manifest]:
    return [m for m in manifests if m.output.kind == kind and not is_translator(m)]


def _example(manifest: Manifest, asked: dict[str, Any]) -> dict[str, Any]:
    value = {"model": manifest.name, "seed": _SEED, **asked}
    return {"summary": manifest.description or manifest.name, "value": value}


def _condition(manifest: Manifest) -> dict[str, Any]:
    """Return a class to fix, where there are classes."""
    for prior in manifest.priors:
        if isinstance(prior, CategoricalPrior):
            return {"conditions": {prior.name: prior.labels[0] if prior.labels else 0}}
    return {}
