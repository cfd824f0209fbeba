"""transformers text models: GPT-2, Llama, and what is built like Llama.

Source: Radford et al., "Language models are unsupervised multitask learners", 2019; Touvron et al.,
"LLaMA", arXiv:2302.13971.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genx_export.families import find_family
from genx_export.model import LoadedModel
from genx_export.sources.huggingface.folder import (
    CONFIG,
    check_class,
    import_library,
    load_module,
    read_json,
)
from genx_export.sources.huggingface.settings import Settings
from genx_export.sources.huggingface.text_step import ATTENTION, TextStep, attend_step
from genx_export.sources.huggingface.vocabulary import read_vocabulary
from genx_export.sources.request import SourceRequest
from genx_export.torch_component import ModuleComponent
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import OutputSpec

MODELS = ("GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
# The cache is part of every call and of the golden samples: 75 MB a sample of the smallest GPT-2.
MAX_LENGTH = 1024
_GENERATION = "generation_config.json"
# Others change with the length of the text so far.
_ROPES = ("default", "linear", "llama3", "yarn")


def load_text_model(folder: Path, config: Mapping[str, Any], request: SourceRequest) -> LoadedModel:
    """Load a folder with a text model of transformers.

    Raises:
        SourceError, WeightsError: see `load_huggingface`.
    """
    path = folder / CONFIG
    named = config.get("architectures") or config.get("model_type")
    name = check_class(path, named[0] if isinstance(named, list) else named, MODELS)
    if request.family not in (None, "tokens"):
        raise SourceError(
            f"{folder} holds a {name}, whose family is 'tokens', not {request.family!r}",
            fix="leave --family out",
        )
    _check_settings(Settings(path, config))
    library = import_library("transformers", folder)
    library.AttentionInterface.register(ATTENTION, attend_step)
    model, warnings = load_module("transformers", name, folder, attn_implementation=ATTENTION)
    settings = Settings(path, model.config)
    rope = Settings(path, settings.members("rope_parameters"))
    if rope.text("rope_type", default="default") not in _ROPES:
        raise rope.cannot_express("rope_type")
    length, more = _measure_length(settings)
    start, stop = _read_ends(folder, config)
    words, others = read_vocabulary(folder, settings.integer("vocab_size"))
    step = TextStep(model, length)
    family = find_family("tokens")
    sampler = family.describe_sampler(
        {
            "states": [{"name": "cache", "shape": _shape_cache(settings, length), "grows": 3}],
            "length": length,
            "start": start,
            "stop": stop,
        },
        ["step"],
    )
    output = OutputSpec(name="text", kind="text" if words else "tensor", vocabulary=words)
    return LoadedModel(
        name=request.name or folder.resolve().name,
        family=family,
        sampler=sampler,
        components=[ModuleComponent("step", step)],
        output_names=family.name_outputs(sampler),
        priors=request.merge_priors(()),
        output=request.output or output,
        description=f"{name} from transformers",
        reference=f"torch {torch.__version__}",
        warnings=(*warnings, *more, *others),
    )


def _check_settings(settings: Settings) -> None:
    """Refuse what would be computed otherwise, or not at all."""
    for name in ("add_cross_attention", "quantization_config", "auto_map"):
        if settings.get(name):
            raise settings.cannot_express(name)


def _measure_length(settings: Settings) -> tuple[int, list[str]]:
    """Return how many tokens the bundle looks back on, and a warning where the model could more."""
    own = settings.integer("max_position_embeddings")
    slides = settings.get("sliding_window") and settings.get("use_sliding_window") is not False
    length = min(own, MAX_LENGTH, settings.integer("sliding_window") if slides else own)
    if length == own:
        return length, []
    return length, [f"the bundle looks back on {length} tokens of the model's {own}"]


def _read_ends(folder: Path, config: Mapping[str, Any]) -> tuple[int, list[int]]:
    """Return the token that a text starts with, and those that end it.

    Raises:
        SourceError: none is given.
    """
    own = Settings(folder / CONFIG, config)
    path = folder / _GENERATION
    given = Settings(path, read_json(path) if path.is_file() else {})
    stop = given.integers("eos_token_id") or own.integers("eos_token_id")
    starts = given.integers("bos_token_id") or own.integers("bos_token_id") or stop
    if not starts:
        raise SourceError(
            f"{folder / CONFIG} has no bos_token_id and no eos_token_id to start a text with",
            fix="write the token that stood before each text in training into it",
        )
    return starts[0], list(stop)


def _shape_cache(settings: Settings, length: int) -> list[int]:
    """Return layers, 2, heads, length, head_dim."""
    queries = settings.integer("num_attention_heads")
    heads = settings.integer("num_key_value_heads", default=queries)
    size = settings.integer("head_dim", default=settings.integer("hidden_size") // queries)
    return [settings.integer("num_hidden_layers"), 2, heads, length, size]
