"""Sources that are folders which diffusers or transformers saved with `save_pretrained`.

| what the folder says | file |
|---|---|
| model_index.json: a diffusers pipeline | pipelines.py |
| config.json with `_class_name`: a diffusers autoencoder | autoencoders.py |
| config.json with `architectures`: a transformers text model | text_models.py |

The two libraries build the modules and read safetensors; no code of the folder is run, no pickle
is opened and nothing is downloaded. Source: docs/families/huggingface.md.
"""

from __future__ import annotations

from pathlib import Path

from genx_export.model import LoadedModel
from genx_export.sources.huggingface.autoencoders import load_autoencoder
from genx_export.sources.huggingface.folder import CONFIG, read_json
from genx_export.sources.huggingface.pipelines import INDEX, load_pipeline
from genx_export.sources.huggingface.text_models import load_text_model
from genx_export.sources.request import SourceRequest
from genx_runtimes.errors import InputError, SourceError

__all__ = ["is_huggingface", "load_huggingface"]


def is_huggingface(folder: Path) -> bool:
    """Return whether a folder is one that diffusers or transformers saved."""
    return (folder / INDEX).is_file() or (folder / CONFIG).is_file()


def load_huggingface(source: str, request: SourceRequest) -> LoadedModel:
    """Load a model from a folder of Hugging Face's libraries.

    Raises:
        SourceError: a kind of model that genx does not know, a setting that a bundle cannot
            express, a malformed file, or the libraries are not installed.
        WeightsError: weights that are pickles, missing, truncated, or do not fit.
        InputError: an option that has no meaning here.
    """
    folder = Path(source)
    if request.weights or request.weights_key or request.weights_prefix:
        raise InputError(
            f"{folder} brings its own weights, --weights has no meaning for it",
            fix="leave --weights out",
        )
    if (folder / INDEX).is_file():
        return load_pipeline(folder, request)
    config = read_json(folder / CONFIG)
    if "_class_name" in config:
        return load_autoencoder(folder, config, request)
    if "architectures" in config or "model_type" in config:
        return load_text_model(folder, config, request)
    raise SourceError(
        f"{folder / CONFIG} names no model: it has no _class_name, architectures or model_type",
        fix="save the model with its own save_pretrained",
    )
