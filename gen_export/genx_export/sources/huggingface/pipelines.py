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
    refuse_setting,
)
from genx_export.sources.huggingface.schedulers import describe_scheduler, load_scheduler
from genx_export.sources.request import SourceRequest
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import CategoricalPrior, NormalPrior, Prior

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
    fields, more = describe_scheduler(folder / "scheduler", _class_of(folder, index, "scheduler"))
    return _assemble(
        folder,
        request,
        index,
        family="diffusion",
        components=[BoundedComponent("denoiser", _wrap_unet(folder, unet))],
        fields=fields,
        priors=(_noise("x", folder / "unet", unet), *_labels(unet)),
        channels=unet.config.out_channels,
        warnings=[*warnings, *more],
    )


def _load_latent(folder: Path, index: Mapping[str, Any], request: SourceRequest) -> LoadedModel:
    unet, warnings = _load_part(folder, index, "unet", ("UNet2DModel",))
    decoder, more = _load_part(folder, index, "vqvae", AUTOENCODERS)
    fields, others = describe_scheduler(folder / "scheduler", _class_of(folder, index, "scheduler"))
    return _assemble(
        folder,
        request,
        index,
        family="diffusion",
        components=[
            BoundedComponent("denoiser", _wrap_unet(folder, unet)),
            BoundedComponent("decoder", Decoder(decoder)),
        ],
        fields={**fields, "scaling": float(decoder.config.scaling_factor)},
        priors=(_noise("x", folder / "unet", unet), *_labels(unet)),
        channels=decoder.config.out_channels,
        warnings=[*warnings, *more, *others],
    )


def _load_dit(folder: Path, index: Mapping[str, Any], request: SourceRequest) -> LoadedModel:
    # Published folders have the name that the class had before.
    known = ("DiTTransformer2DModel", "Transformer2DModel")
    check_class(folder / INDEX, _class_of(folder, index, "transformer"), known)
    transformer, warnings = load_module("diffusers", known[0], folder / "transformer")
    decoder, more = _load_part(folder, index, "vae", AUTOENCODERS)
    fields, others = describe_scheduler(folder / "scheduler", _class_of(folder, index, "scheduler"))
    classes = int(transformer.config.num_embeds_ada_norm)
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
            "scaling": float(decoder.config.scaling_factor),
            "guidance": {"condition": "label", "null": classes, "default": _GUIDANCE},
        },
        priors=(_noise("x", folder / "transformer", transformer), label),
        channels=decoder.config.out_channels,
        warnings=[*warnings, *more, *others],
    )


def _load_consistency(
    folder: Path, index: Mapping[str, Any], request: SourceRequest
) -> LoadedModel:
    unet, warnings = _load_part(folder, index, "unet", ("UNet2DModel",))
    name = _class_of(folder, index, "scheduler")
    scheduler = load_scheduler(folder / "scheduler", name, ("CMStochasticIterativeScheduler",))
    labels = _labels(unet)
    wrap = LabelledConsistencyGenerator if labels else ConsistencyGenerator
    return _assemble(
        folder,
        request,
        index,
        family="generator",
        components=[BoundedComponent("generator", wrap(unet, scheduler.config))],
        fields={},
        priors=(_noise("z", folder / "unet", unet), *labels),
        channels=unet.config.out_channels,
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


def _wrap_unet(folder: Path, unet: Any) -> torch.nn.Module:
    config = unet.config
    if config.class_embed_type is not None:
        raise refuse_setting(folder / "unet" / CONFIG, config, "class_embed_type")
    if config.out_channels != config.in_channels:
        raise refuse_setting(folder / "unet" / CONFIG, config, "out_channels")
    return Unet(unet) if config.num_class_embeds is None else LabelledUnet(unet)


def _noise(name: str, part: Path, network: Any) -> NormalPrior:
    """Return the prior of the noise that a network takes.

    Raises:
        SourceError: the folder does not say its size.
    """
    size = network.config.sample_size
    if not size:
        raise SourceError(
            f"{part / CONFIG} has no sample_size, and it is not in the weights",
            fix="write the size that the model was trained with into it",
        )
    height, width = (size, size) if isinstance(size, int) else size
    return NormalPrior(name=name, shape=(int(network.config.in_channels), height, width))


def _labels(unet: Any) -> tuple[CategoricalPrior, ...]:
    classes = unet.config.num_class_embeds
    return () if classes is None else (CategoricalPrior(name="label", classes=int(classes)),)


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
    channels: int,
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
        output=request.output or describe_picture(int(channels)),
        description=f"{index['_class_name']} from diffusers",
        reference=f"torch {torch.__version__}",
        warnings=tuple(warnings),
    )
