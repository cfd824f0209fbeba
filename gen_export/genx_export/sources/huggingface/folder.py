"""What all folders of Hugging Face's libraries have in common: JSON, weights, the libraries."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from torch import nn

from genx_export.sources.huggingface.settings import Settings
from genx_export.weights import check_tensors
from genx_runtimes.errors import SourceError, WeightsError

CONFIG = "config.json"
Library = Literal["diffusers", "transformers"]

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_STEMS: Mapping[Library, str] = {
    "diffusers": "diffusion_pytorch_model",
    "transformers": "model",
}
_LISTED = 3


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        SourceError: missing, or not a JSON object.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise SourceError(f"there is no {path}", fix="copy the folder again, all of it") from err
    except OSError as err:
        raise SourceError(f"{path} cannot be read: {err.strerror or err}") from err
    except (ValueError, RecursionError) as err:
        raise SourceError(f"{path} is not JSON: {err}", fix="copy the folder again") from err
    if not isinstance(read, dict):
        raise SourceError(f"{path} holds a {type(read).__name__}, expected an object")
    return read


def import_library(name: Library, folder: Path) -> Any:
    """Return a library of the extra `genx[huggingface]`.

    Raises:
        SourceError: it is not installed, or cannot be imported.
    """
    try:
        with _quiet():
            return importlib.import_module(name)
    except ImportError as err:
        raise SourceError(
            f"{folder} needs {name}, which cannot be imported: {err}",
            fix="pip install 'genx[huggingface]'",
        ) from err


def load_module(
    library: Library, name: str, folder: Path, **options: object
) -> tuple[Any, list[str]]:
    """Build a model of a library, with the weights of its folder, in float32.

    Args:
        library: where the class is.
        name: of the class.
        folder: with config.json and safetensors.
        options: more for `from_pretrained`.

    Returns:
        the model in eval mode, and warnings.

    Raises:
        SourceError: the library cannot build it.
        WeightsError: see `check_weights`; or the tensors are not those of the model.
    """
    read_json(folder / CONFIG)
    types = check_weights(library, folder)
    module = import_library(library, folder)
    if library == "diffusers":
        # Without accelerate it could not be otherwise, and said so.
        options = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False, **options}
    else:
        options = {"dtype": torch.float32, **options}
    try:
        with _quiet(), _no_bars(module):
            model, info = getattr(module, name).from_pretrained(
                str(folder.resolve()),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
    except Exception as err:  # OSError, ValueError, TypeError, KeyError ..., as the folder is bad
        raise SourceError(
            f"{folder}: {library} cannot load this {name}: {_first_line(err)}",
            fix="see the traceback with: genx --debug export ...",
        ) from err
    for what in ("missing", "unexpected", "mismatched"):
        keys = [k if isinstance(k, str) else str(k[0]) for k in info[f"{what}_keys"]]
        if keys:
            shown = ", ".join(sorted(keys)[:_LISTED])
            raise WeightsError(
                f"{folder}: {len(keys)} tensors of this {name} are {what}: {shown}",
                fix="copy the folder again: config.json and weights do not belong together",
            )
    assert isinstance(model, nn.Module)
    check_tensors(model)
    lower = sorted(t for t in types if t not in ("F32", "I64", "BOOL"))
    return model.eval(), [f"{t} weights are computed in float32" for t in lower]


def check_weights(library: Library, folder: Path) -> set[str]:
    """Refuse a folder whose weights are not whole safetensors files.

    Returns:
        the types of its tensors, as safetensors calls them.

    Raises:
        WeightsError: pickles, no weights, a shard is missing, a file is truncated.
    """
    stem = _STEMS[library]
    index = folder / f"{stem}.safetensors.index.json"
    if (folder / f"{stem}.safetensors").is_file():
        files = [f"{stem}.safetensors"]
    elif index.is_file():
        files = sorted(
            set(map(str, Settings(index, read_json(index)).members("weight_map").values()))
        )
    else:
        raise _explain_absence(folder, stem)
    types: set[str] = set()
    for name in files:
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise WeightsError(
                f"{index} names {name}, which is not in {folder}", fix="copy the folder again"
            )
        try:
            with safetensors.safe_open(path, framework="pt") as opened:
                keys = opened.keys()  # it cannot be iterated over
                types.update(opened.get_slice(key).get_dtype() for key in keys)
        except safetensors.SafetensorError as err:
            raise WeightsError(
                f"{path} is truncated or not a safetensors file: {err}",
                fix="copy it again from where it was made",
            ) from err
    return types


def check_class(path: Path, name: object, known: Collection[str]) -> str:
    """Return the name of a class that a folder asks for.

    Raises:
        SourceError: genx does not know it.
    """
    if isinstance(name, str) and name in known:
        return name
    raise SourceError(
        f"{path} holds a {name}, which genx cannot export", fix=f"it exports {', '.join(known)}"
    )


def _explain_absence(folder: Path, stem: str) -> WeightsError:
    names: Sequence[str] = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        return WeightsError(
            f"{folder / pickles[0]} is refused: it is a pickle, which may run code when it is read",
            fix="where you trust it, load the model with its library, and "
            "model.save_pretrained(FOLDER, safe_serialization=True)",
        )
    return WeightsError(
        f"{folder} has no {stem}.safetensors"
        + (f", only {', '.join(names[:8])}" if names else ": it is not there"),
        fix="save the model with save_pretrained(FOLDER), without a variant",
    )


def _first_line(err: Exception) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[0] if lines else type(err).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' remarks out of the user's terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _no_bars(library: Any) -> Iterator[None]:
    """Switch a library's progress bars off."""
    settings = library.utils.logging
    shown = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            settings.enable_progress_bar()
