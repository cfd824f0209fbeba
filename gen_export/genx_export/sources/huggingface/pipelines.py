"""diffusers pipelines: DDPM, DDIM, latent diffusion, DiT, consistency models.

Source: Ho et al., arXiv:2006.11239; Song et al., arXiv:2010.02502; Rombach et al.,
arXiv:2112.10752; Peebles & Xie, "Scalable diffusion models with transformers", arXiv:2212.09748;
Song et al., "Consistency models", arXiv:2303.01469.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genx_export.families import find_family
from genx_export.model import LoadedModel
from genx_export.sources.huggingface.autoencoders import (
    AUTOENCODERS,
    BoundedComponent,
    Decoder,
    describe_picture,
)
from genx_export.sources.huggingface.denoisers import (
    ConsistencyGenerator,
    LabelledConsistencyGenerator,
    LabelledUnet,
    TransformerDenoiser,
    Unet,
)
from genx_export.sources.huggingface.folder import (
    CONFIG,
    check_class,
    load_module,
    read_json,
)
from genx_export.sources.huggingface.schedulers import describe_scheduler, load_scheduler
from genx_export.sources.huggingface.settings import Settings
from genx_export.sources.request import SourceRequest
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import CategoricalPrior, NormalPrior, OutputSpec, Prior

INDEX = "model_index.json"
_GUIDANCE = 4.0  # of DiTPipeline


def load_pipeline(folder: Path, request: SourceRequest) -> LoadedModel:
    """Load a folder with a pipeline of diffusers.

    Raises:
        SourceError, WeightsError: see `load_huggingface`.
    """
    path = folder / INDEX
    index = read_json(path)
    name = check_class(path, index.get("_class_name"), tuple(_LOADERS))
    return _LOADERS[name](folder, index, request)


def _load_pixels(folder: Path, index: Mapping[str, Any], request: SourceRequest) -> LoadedModel:
    unet, warnings = _load_part(folder, index, "unet", ("UNet2DModel",))
    settings = Settings(folder / "unet" / CONFIG, unet.config)
    fields, more = describe_scheduler(folder / "scheduler", _class_of(folder, index, "scheduler"))
    return _assemble(
        folder,
        request,
        index,
        family="diffusion",
        components=[BoundedComponent("denoiser", _wrap_unet(unet, settings))],
        fields=fields,
        priors=(_noise("x", settings), *_labels(settings)),
        output=describe_picture(settings.integer("out_channels")),
        warnings=[*warnings, *more],
    )


def _load_latent(folder: Path, index: Mapping[str, Any], request: SourceRequest) -> LoadedModel:
    unet, warnings = _load_part(folder, index, "unet", ("UNet2DModel",))
    decoder, more = _load_part(folder, index, "vqvae", AUTOENCODERS)
    settings = Settings(folder / "unet" / CONFIG, unet.config)
    decoding = Settings(folder / "vqvae" / CONFIG, decoder.config)
    fields, others = describe_scheduler(folder / "scheduler", _class_of(folder, index, "scheduler"))
    return _assemble(
        folder,
        request,
        index,
        family="diffusion",
        components=[
            BoundedComponent("denoiser", _wrap_unet(unet, settings)),
            BoundedComponent("decoder", Decoder(decoder)),
        ],
        fields={**fields, "scaling": decoding.number("scaling_factor")},
        priors=(_noise("x", settings), *_labels(settings)),
        output=describe_picture(decoding.integer("out_channels")),
        warnings=[*warnings, *more, *others],
    )


def _load_dit(folder: Path, index: Mapping[str, Any], request: SourceRequest) -> LoadedModel:
    # Published folders have the name that the class had before.
    known = ("DiTTransformer2DModel", "Transformer2DModel")
    check_class(folder / INDEX, _class_of(folder, index, "transformer"), known)
    transformer, warnings = load_module("diffusers", known[0], folder / "transformer")
    decoder, more = _load_part(folder, index, "vae", AUTOENCODERS)
    settings = Settings(folder / "transformer" / CONFIG, transformer.config)
    decoding = Settings(folder / "vae" / CONFIG, decoder.config)
    fields, others = describe_scheduler(folder / "scheduler", _class_of(folder, index, "scheduler"))
    classes = settings.integer("num_embeds_ada_norm")
    label = CategoricalPrior(name="label", classes=classes, labels=_read_labels(index, classes))
    return _assemble(
        folder,
        request,
        index,
        family="diffusion",
        components=[
            BoundedComponent("denoiser", TransformerDenoiser(transformer)),
            BoundedComponent("decoder", Decoder(decoder)),
        ],
        fields={
            **fields,
            "scaling": decoding.number("scaling_factor"),
            "guidance": {"condition": "label", "null": classes, "default": _GUIDANCE},
        },
        priors=(_noise("x", settings), label),
        output=describe_picture(decoding.integer("out_channels")),
        warnings=[*warnings, *more, *others],
    )


def _load_consistency(
    folder: Path, index: Mapping[str, Any], request: SourceRequest
) -> LoadedModel:
    unet, warnings = _load_part(folder, index, "unet", ("UNet2DModel",))
    name = _class_of(folder, index, "scheduler")
    _, scheduler = load_scheduler(folder / "scheduler", name, ("CMStochasticIterativeScheduler",))
    settings = Settings(folder / "unet" / CONFIG, unet.config)
    labels = _labels(settings)
    wrap = LabelledConsistencyGenerator if labels else ConsistencyGenerator
    return _assemble(
        folder,
        request,
        index,
        family="generator",
        components=[BoundedComponent("generator", wrap(unet, scheduler))],
        fields={},
        priors=(_noise("z", settings), *labels),
        output=describe_picture(settings.integer("out_channels")),
        warnings=[*warnings, "the bundle takes the one step that is the pipeline's default"],
    )


_LOADERS = {
    "DDPMPipeline": _load_pixels,
    "DDIMPipeline": _load_pixels,
    "LDMPipeline": _load_latent,
    "DiTPipeline": _load_dit,
    "ConsistencyModelPipeline": _load_consistency,
}


def _class_of(folder: Path, index: Mapping[str, Any], part: str) -> object:
    """Return the name of the class of a pipeline's part, which must be one of diffusers.

    Raises:
        SourceError: the pipeline lacks it, or takes it from elsewhere.
    """
    entry = index.get(part)
    if isinstance(entry, list) and len(entry) == 2 and entry[0] == "diffusers":
        found: object = entry[1]
        return found
    raise SourceError(
        f"{folder / INDEX}: {part} is {entry!r}, expected a class of diffusers",
        fix="code that is not the library's own is not run",
    )


def _load_part(
    folder: Path, index: Mapping[str, Any], part: str, known: tuple[str, ...]
) -> tuple[Any, list[str]]:
    name = check_class(folder / INDEX, _class_of(folder, index, part), known)
    return load_module("diffusers", name, folder / part)


def _wrap_unet(unet: Any, settings: Settings) -> torch.nn.Module:
    if settings.get("class_embed_type") is not None:
        raise settings.cannot_express("class_embed_type")
    if settings.get("out_channels") != settings.get("in_channels"):
        raise settings.cannot_express("out_channels")
    return LabelledUnet(unet) if _labels(settings) else Unet(unet)


def _noise(name: str, settings: Settings) -> NormalPrior:
    """Return the prior of the noise that a network takes."""
    shape = (settings.integer("in_channels"), *settings.size("sample_size"))
    return NormalPrior(name=name, shape=shape)


def _labels(settings: Settings) -> tuple[CategoricalPrior, ...]:
    if settings.get("num_class_embeds") is None:
        return ()
    return (CategoricalPrior(name="label", classes=settings.integer("num_class_embeds")),)


def _read_labels(index: Mapping[str, Any], classes: int) -> tuple[str, ...]:
    """Return the names of the classes, where the pipeline has a different one for each."""
    given = index.get("id2label")
    if not isinstance(given, dict):
        return ()
    names = tuple(str(given.get(str(i), "")) for i in range(classes))
    return names if len(set(names)) == classes and all(names) else ()


def _assemble(
    folder: Path,
    request: SourceRequest,
    index: Mapping[str, Any],
    *,
    family: str,
    components: Sequence[BoundedComponent],
    fields: Mapping[str, object],
    priors: tuple[Prior, ...],
    output: OutputSpec,
    warnings: Sequence[str],
) -> LoadedModel:
    if request.family not in (None, family):
        raise SourceError(
            f"{folder} is a {index['_class_name']}, whose family is {family!r}, not "
            f"{request.family!r}",
            fix="leave --family out",
        )
    found = find_family(family)
    sampler = found.describe_sampler(fields, [c.name for c in components])
    return LoadedModel(
        name=request.name or folder.resolve().name,
        family=found,
        sampler=sampler,
        components=components,
        output_names=found.name_outputs(sampler),
        priors=request.merge_priors(priors),
        output=request.output or output,
        description=f"{index['_class_name']} from diffusers",
        reference=f"torch {torch.__version__}",
        warnings=tuple(warnings),
    )
